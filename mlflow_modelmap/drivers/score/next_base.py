"""Driver: what the next model of a sweep is loaded from - is it the base of the present one?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.scoring.load.loaded_base import BaseKey, base_key
from mlflow_modelmap.scoring.model.reference import LOCAL
from mlflow_modelmap.scoring.model.weight_files import ADAPTER
from mlflow_modelmap.scoring.settings import TRANSFORMERS


def next_base(
    present: Prepared,
    after: Iterable[ScoreRequest],
    prepare: Callable[[ScoreRequest], Prepared],
    is_scored: Callable[[Prepared], bool],
) -> BaseKey | None:
    """What the next model that is to be scored is loaded from, where that may be the same.

    Nothing is fetched ahead for models that are no adapters; what cannot be had is told when its
    turn comes.

    Parameters
    ----------
    after
        What is asked for after the present model, in order.
    prepare
        Finds the files of one of them.
    is_scored
        Whether a score is there already, so that nothing is loaded for it.
    """
    for request in after:
        if not _may_share(request, present):
            return None
        try:
            following = prepare(request)
            if not is_scored(following):
                return base_key(following.files, request.settings)
        except Exception:
            continue
    return None


def _may_share(request: ScoreRequest, present: Prepared) -> bool:
    """Whether a model may be on what the present one is on, as far as that costs nothing to say."""
    reference = request.reference
    if request.settings.engine != TRANSFORMERS:
        return False  # other engines load their own
    if request.base is not None:
        return True
    if reference.kind != LOCAL:
        return present.files.adapter is not None
    is_base = os.path.realpath(reference.name) == os.path.realpath(present.files.model_path)
    return is_base or os.path.lexists(os.path.join(reference.name, ADAPTER))
