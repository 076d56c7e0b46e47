"""Driver: what is ready to be scored, and its vector - the part that can run on any machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_modelmap.drivers.process import collector
from mlflow_modelmap.drivers.score.noise import with_noise
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.scoring.settings import TRANSFORMERS, ScoreResult

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.load.loaded_base import LoadedBase
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts


@dataclass(frozen=True, eq=False)
class Ready:
    """A prepared model with the tokens of its texts, or with the vector that waits in the spool.

    Plain values throughout, so that it can be pickled and scored in another process.

    Attributes
    ----------
    prepared
        Model, texts and settings.
    tokens
        The texts under the model's tokenizer, fitted to its positions; None to make them then.
    kept
        The vector, if it was made before and not logged.
    again
        Whether it is scored whatever scores there are.
    """

    prepared: Prepared
    tokens: TokenizedTexts | None = None
    kept: ScoreResult | None = None
    again: bool = False


def vector(
    ready: Ready,
    progress: Callable[[int, int], None] | None = None,
    base: LoadedBase | None = None,
) -> ScoreResult:
    """The log-likelihood vector of what is ready, and how it came about.

    No store is asked and nothing is written but to the spool (values of another engine than
    transformers, as they come, to go on there after a failure); the same `ready` gives the same
    numbers, on CPU to the bit, wherever it is called.

    Parameters
    ----------
    progress
        Called with the tokens scored so far and those to score in all.
    base
        Where the base of an adapter waits for the next one; it changes no number.

    Raises
    ------
    InputError, ScoringError
        As `score_texts`.
    """
    if ready.kept is not None:
        return ready.kept
    prepared, settings = ready.prepared, ready.prepared.request.settings
    given = (prepared.files, prepared.texts, settings)
    if settings.engine == TRANSFORMERS:
        from mlflow_modelmap.scoring.engine.score_texts import score_texts

        collector.as_usual()
        made = score_texts(*given, tokens=ready.tokens, progress=progress, base=base)
        return with_noise(made)
    from mlflow_modelmap.drivers.score.spool import values_path
    from mlflow_modelmap.scoring.engines.kept_values import KeptValues
    from mlflow_modelmap.scoring.engines.score_by_engine import score_by_engine

    collector.as_usual()
    with KeptValues(values_path(prepared.identity), again=ready.again) as kept:
        made = score_by_engine(*given, tokens=ready.tokens, progress=progress, kept=kept)
    return with_noise(made)
