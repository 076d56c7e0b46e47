"""Driver: files of the Hub fetched by the sweep for a cluster whose nodes share its cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mlflow_modelmap.drivers.score.prepare import (
    fetched_unless_scored,
    identities_of,
    model_files,
)
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep_work import Work
from mlflow_modelmap.drivers.score.workers.events import Engine
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.cached_weights import cache_folder, lacks_weights
from mlflow_modelmap.scoring.model.reference import HUB, ModelFiles
from mlflow_modelmap.scoring.settings import ENDPOINT
from mlflow_modelmap.scoring.tokenizer.templates import AUTO
from mlflow_modelmap.tracking.runs.find_score import scored

_DEVICES = ("cuda", "cpu", "mps")


def nodes_share_the_cache(engine: Engine, work: Work, asked: Sequence[ScoreRequest]) -> bool:
    """Whether this process fetches for an engine's nodes.

    Raises
    ------
    InputError
        If it does not, but little is to stay of what is fetched.
    """
    if engine.prepares or not any(map(fetches, asked)):
        return False
    cache = cache_folder()
    shared = engine.shares(cache)
    if work.fetched is not None and not shared:
        raise InputError(
            f"The cluster's nodes do not share the Hub's cache {str(cache)!r}, so that what they "
            "fetch cannot be bounded from here; set HF_HOME to a folder that all see (on Slurm on "
            "the file system of --folder), or leave keep_cache out."
        )
    return shared


def fetch_for_nodes(work: Work, request: ScoreRequest, *, believed: bool = True) -> bool:
    """Have a Hub model's files in the cache; no weights of what is scored already.

    Only a node knows the device, and the precision that ``auto`` comes to, and with them the
    score's identity: here each that there may be is looked for.

    Parameters
    ----------
    believed
        Whether such a score will do; a node may have found that it will not.

    Returns
    -------
    bool
        Whether it does, so that weights may be missing.

    Raises
    ------
    InputError, ScoringError
        If the Hub cannot give it. The node says so too, and in the score's own words.
    """

    found = False

    def is_scored(files: ModelFiles) -> bool:
        nonlocal found
        found = believed and not work.again and _is_scored(work, request, files)
        return found

    look, fetch = partial(model_files, request, weights=False), partial(model_files, request)
    if work.fetched is not None:
        work.fetched.watch(request, fetch, look, is_scored)
    elif lacks_weights(request.reference):
        fetched_unless_scored(look, fetch, is_scored)
    else:
        fetch()  # a branch may have moved
    return found


def _is_scored(work: Work, request: ScoreRequest, files: ModelFiles) -> bool:
    there = work.done
    if work.one_by_one:
        name, digest = files.reference.name, work.texts.digest
        there = scored(
            work.experiment_id,
            work.store,
            text_digest=digest,
            models={name},
            texts=len(work.texts),
        )
    points = [p for found in there.values() for p in found if p.commit == files.commit]
    asked = request.settings.precision
    precisions = {p.precision for p in points} if asked == AUTO else {asked}
    if not points:
        return False
    return any(
        not there.keys().isdisjoint(identities_of(request, work.texts, files, precision, device))
        for precision in precisions
        for device in _DEVICES
        if precision is not None
    )


def fetches(request: ScoreRequest) -> bool:
    """Whether a model's files come from the Hub."""
    return request.reference.kind == HUB and request.settings.engine != ENDPOINT
