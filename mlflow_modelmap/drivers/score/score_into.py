"""Driver: the end of a score's way - its vector into an open run, by the spool."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_modelmap.drivers.score import spool
from mlflow_modelmap.drivers.score.vector import Ready, vector
from mlflow_modelmap.errors import ModelMapError, TrackingError
from mlflow_modelmap.scoring.settings import ENDPOINT, ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.write_score import (
    bits_per_byte_of,
    log_score,
    mean_log_likelihood,
)
from mlflow_modelmap.words.reason import reason

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.load.loaded_base import LoadedBase

_CAN_CHANGE = (
    "What a server serves under one name can change, and this score was made before; "
    "--again scores it anew."
)

NOT_LOGGED = "was scored but could not be logged"
"""What the error of a score says whose vector is there."""


@dataclass(frozen=True, eq=False)
class ScoredModel:
    """A model that is scored and logged.

    Attributes
    ----------
    run_id, experiment_id, name
        Of the run that holds the score.
    log_likelihoods
        Nats, float64, shape (N,).
    bits_per_byte
        How well the model predicts the text set.
    skipped
        Whether the score was there already.
    seconds, tokens_per_second
        Of the scoring itself; None where it was skipped.
    weights
        Of the texts, shape (N,), or None.
    notices
        What there is to be known of it, in sentences.
    """

    run_id: str
    experiment_id: str
    name: str
    log_likelihoods: np.ndarray
    bits_per_byte: float
    skipped: bool = False
    seconds: float | None = None
    tokens_per_second: float | None = None
    weights: np.ndarray | None = None
    notices: tuple[str, ...] = ()


def score_into(
    run: OpenRun,
    ready: Ready,
    progress: Callable[[int, int], None] | None = None,
    base: LoadedBase | None = None,
) -> ScoredModel:
    """Score what is ready and log it into an open run; `base` as for `vector`.

    Raises
    ------
    InputError, ScoringError
        If it cannot be scored.
    TrackingError
        If the score was made but could not be logged; it says where the vector waits.
    """
    return log_vector(run, ready, vector(ready, progress, base))


def log_vector(run: OpenRun, ready: Ready, result: ScoreResult) -> ScoredModel:
    """Log the vector of what was ready; it waits in the spool until its run is FINISHED.

    Raises
    ------
    TrackingError
        If it could not be logged; it says where the vector waits.
    """
    prepared = ready.prepared
    request, texts = prepared.request, prepared.texts
    try:
        kept = spool.keep(prepared.identity, result, again=ready.again)
    except OSError:
        kept = None  # no room on disk is no reason not to log what was scored
    try:
        log_score(
            run,
            result,
            TextSetDataset(texts),
            settings=request.settings.recorded(),
            tags=prepared.tags,
            step=request.step,
        )
    except Exception as error:
        if isinstance(error, ModelMapError) and not isinstance(error, TrackingError):
            raise
        where = f"; its vector is kept in {str(kept)!r}, and the same command logs it from there"
        raise TrackingError(
            f"{(run.name or request.point_name)!r} {NOT_LOGGED} "
            f"({reason(error)}){where if kept else ''}."
        ) from error
    let_go = spool.drop if run.owned else spool.hand_over
    run.when_ended.append(lambda: let_go(prepared.identities))
    seconds, speed = (result.provenance.get(k) for k in ("seconds", "tokens_per_second"))
    return ScoredModel(
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        name=run.name or request.point_name,
        log_likelihoods=result.log_likelihoods,
        bits_per_byte=bits_per_byte_of(result, texts.weight_array),
        seconds=float(seconds) if seconds is not None else None,
        tokens_per_second=float(speed) if speed is not None else None,
        weights=texts.weight_array,
        notices=tuple(json.loads(str(result.provenance.get("notices", "[]")))),
    )


def already_scored(run: Point) -> ScoredModel:
    """What a run that was found holds."""
    matrix, points = read_matrix([run])
    return ScoredModel(
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        name=run.name,
        log_likelihoods=matrix.values[0],
        bits_per_byte=points[0].bits_per_byte or float("nan"),
        skipped=True,
        weights=matrix.weights,
        notices=(_CAN_CHANGE,) if run.tags.get(schema.TAG_ENGINE) == ENDPOINT else (),
    )


def as_result(scored: ScoredModel) -> dict[str, Any]:
    """Flat facts for a table or for ``--json``."""
    return {
        "name": scored.name,
        "run_id": scored.run_id,
        "experiment_id": scored.experiment_id,
        "bits_per_byte": scored.bits_per_byte,
        "mean_log_likelihood": mean_log_likelihood(scored.log_likelihoods, scored.weights),
        "texts": len(scored.log_likelihoods),
        "skipped": scored.skipped,
        "notices": list(scored.notices),
        "seconds": scored.seconds,
        "tokens_per_second": scored.tokens_per_second,
    }
