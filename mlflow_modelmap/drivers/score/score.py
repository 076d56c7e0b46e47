"""Driver: score one model as one MLflow run."""

from __future__ import annotations

import os
import re

from mlflow import MlflowClient

from mlflow_modelmap.drivers.process.progress import progress_bar
from mlflow_modelmap.drivers.score.found import find_scored
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare
from mlflow_modelmap.drivers.score.request import PointFields, ScoreRequest, trajectory_of
from mlflow_modelmap.drivers.score.score_into import ScoredModel, already_scored, score_into
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet

_AUTOMATIC_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")  # what MLflow calls a run that has no name


def score(
    model: str | os.PathLike[str],
    texts: TextSet | str | os.PathLike[str],
    *,
    revision: str | None = None,
    precision: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    batch_tokens: int = 2048,
    bos: str = "auto",
    overlong: str = "error",
    split_special_tokens: bool = False,
    matmul: str = "float32",
    layers: bool = False,
    double_quantization: bool = False,
    int8_threshold: float = 0.0,
    trust_remote_code: bool = False,
    trajectory: str | None = None,
    step: int | None = None,
    model_type: str | None = None,
    base_model: str | None = None,
    name: str | None = None,
    experiment: str | None = None,
    run_id: str | None = None,
    again: bool = False,
    progress: bool = True,
) -> ScoredModel:
    """Score a model on a text set and log its log-likelihood vector as an MLflow run.

    Parameters
    ----------
    model
        ``org/name``, ``org/name@revision``, a local directory, ``models:/name/1``,
        ``models:/name@alias`` or ``runs:/RUN_ID/path``.
    texts
        A text set, or what `read_texts` takes.
    revision
        Branch, tag or commit on the Hub, where it is not written behind ``@``.
    precision, device, device_map, batch_tokens, bos, overlong, split_special_tokens, matmul, \
layers, double_quantization, int8_threshold, trust_remote_code
        See `ScoringSettings`.
    trajectory, step
        Where along which training the model stands.
    model_type, base_model
        Its family (by default what its configuration says) and what it was made from.
    name
        The run's name, by default made from the model's.
    experiment
        Its experiment, by default the current one.
    run_id
        An open run to log into. Whoever opened it ends it; on failure it becomes FAILED.
    again
        Whether to score even if the same score is there already.
    progress
        Whether a progress bar is shown on stderr.

    Returns
    -------
    ScoredModel
        With ``skipped=True`` where a finished run of the same experiment held the score.

    Raises
    ------
    InputError, ScoringError, TrackingError
        One sentence each. The store is asked before anything is scored.

    Notes
    -----
    Without a `run_id` the score goes into a nested child of `mlflow.active_run()`, else into the
    run that `mlflow run` made for this process, else into a new run.
    """
    given = locals()
    settings = ScoringSettings(**{key: given[key] for key in ScoringSettings.model_fields})

    def request() -> ScoreRequest:
        reference = ModelReference.parse(model, revision)
        said = {key: given[key] for key in (*PointFields.model_fields, "name")}
        said["trajectory"] = trajectory or trajectory_of(reference, step)
        return ScoreRequest(reference=reference, settings=settings, **said)

    with quiet():
        store = check_reachable()
        if joins(store, run_id):
            with open_run(
                schema.KIND_SCORE, store=store, name=name, experiment=experiment, run_id=run_id
            ) as run:
                asked = request()
                if not run_id and _AUTOMATIC_NAME.fullmatch(run.name):
                    run.rename(asked.point_name)
                return _score_joined(run, prepare(asked, load_texts(texts)), again, progress)
        prepared = prepare(request(), load_texts(texts))
        where = target_experiment(store, experiment)
        there = None if again else find_scored(prepared, where, store)
        if there is not None:
            return already_scored(there)
        return score_prepared(
            prepared, store=store, experiment=experiment, again=again, progress=progress
        )


def score_prepared(
    prepared: Prepared,
    *,
    store: MlflowClient,
    experiment: str | None = None,
    nested: bool = True,
    again: bool = False,
    progress: bool = True,
) -> ScoredModel:
    """Score a prepared model into a run that is made for it.

    Parameters
    ----------
    nested
        Whether the run becomes a child of an active run, as in `open_run`.
    """
    ready = TokenCache().ready(prepared, again=again)
    name = prepared.request.point_name
    with (
        open_run(
            schema.KIND_SCORE,
            store=store,
            name=name,
            experiment=experiment,
            tags=prepared.tags,
            nested=nested,
        ) as run,
        progress_bar(name, progress) as bar,
    ):
        return score_into(run, ready, bar)


def _score_joined(run: OpenRun, prepared: Prepared, again: bool, progress: bool) -> ScoredModel:
    """Score into a run that was there before: whatever goes wrong, it has to say so."""
    there = None
    if not again:
        there = find_scored(prepared, run.experiment_id, run.store)
    if there is not None:
        run.log(tags={schema.TAG_KIND: schema.KIND_SKIPPED, schema.TAG_SAME_AS: there.run_id})
        return already_scored(there)
    run.log(tags=prepared.tags)
    ready = TokenCache().ready(prepared, again=again)
    with progress_bar(prepared.request.point_name, progress) as bar:
        return score_into(run, ready, bar)
