"""Driver: files of the Hub fetched by the sweep for a cluster whose nodes share its cache."""

from __future__ import annotations

from functools import partial

from mlflow_modelmap.drivers.score.prepare import model_files
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep_work import Work
from mlflow_modelmap.scoring.model.reference import HUB, ModelFiles
from mlflow_modelmap.scoring.tokenizer.templates import AUTO
from mlflow_modelmap.tracking.runs.find_score import scored


def fetch_for_nodes(work: Work, request: ScoreRequest) -> ModelFiles:
    """Have a Hub model's files in the cache; no weights of what seems to be scored already.

    Only a node knows the precision that ``auto`` comes to, and with it the score's identity: here a
    score of the same commit will do, and what it was no score of the node fetches itself.

    Raises
    ------
    InputError, ScoringError
        If the Hub cannot give it. The node says so too, and in the score's own words.
    """
    fetch = partial(_files, work, request)
    if work.fetched is None:
        return fetch()
    return work.fetched.watch(request, fetch, partial(model_files, request, weights=False))


def _files(work: Work, request: ScoreRequest) -> ModelFiles:
    if not work.again:
        files = model_files(request, weights=False)
        if _seems_scored(work, request, files):
            return files
    return model_files(request)


def _seems_scored(work: Work, request: ScoreRequest, files: ModelFiles) -> bool:
    there = work.done
    if work.one_by_one:
        name, digest = files.reference.name, work.texts.digest
        there = scored(work.experiment_id, work.store, text_digest=digest, models={name})
    precision = request.settings.precision
    return any(
        point.commit == files.commit and precision in (AUTO, point.precision)
        for points in there.values()
        for point in points
    )


def fetches(request: ScoreRequest) -> bool:
    """Whether a model's files come from the Hub."""
    return request.reference.kind == HUB
