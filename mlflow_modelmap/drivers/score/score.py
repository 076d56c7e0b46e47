"""Driver: score one model as one MLflow run."""

from __future__ import annotations

import os
import re

from mlflow import MlflowClient

from mlflow_modelmap.drivers.process.progress import progress_bar
from mlflow_modelmap.drivers.score.claims import Held, claim, look, wait_for
from mlflow_modelmap.drivers.score.name_taken import check_name
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare
from mlflow_modelmap.drivers.score.request import PointFields, ScoreRequest, trajectory_of
from mlflow_modelmap.drivers.score.resolve_served import served_reference
from mlflow_modelmap.drivers.score.score_into import ScoredModel, already_scored, score_into
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.left_out import DamagedRun
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet

_AUTOMATIC_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")  # what MLflow calls a run that has no name


def score(
    model: str | os.PathLike[str],
    texts: TextSet | str | os.PathLike[str],
    *,
    column: str = "text",
    revision: str | None = None,
    engine: str = "transformers",
    url: str | None = None,
    served_model: str | None = None,
    concurrency: int = 8,
    requests_per_minute: int | None = None,
    tensor_parallel: int = 1,
    agreement: int = 10,
    precision: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    batch_tokens: int | None = None,
    bos: str = "auto",
    eos: str = "never",
    tokens_from: str = "file",
    tokenizer: str | os.PathLike[str] | None = None,
    template: str = "auto",
    system_prompt: str | None = None,
    end_of_turn: bool = False,
    unconditional: bool = False,
    unspelled: float = 0.1,
    overlong: str = "error",
    window_tokens: int | None = None,
    stride: int | None = None,
    split_special_tokens: bool = False,
    matmul: str = "float32",
    layers: bool = False,
    double_quantization: bool = False,
    int8_threshold: float = 0.0,
    trust_remote_code: bool = False,
    safetensors_only: bool = False,
    noise: int | None = None,
    trajectory: str | None = None,
    step: int | None = None,
    model_type: str | None = None,
    base_model: str | None = None,
    name: str | None = None,
    base: str | os.PathLike[str] | None = None,
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
        ``models:/name@alias`` or ``runs:/RUN_ID/path``; with ``engine="endpoint"`` also any name
        that the server knows.
    texts
        A text set, or what `read_texts` takes.
    column
        Of the text in a file of these.
    revision
        Branch, tag or commit on the Hub, where it is not written behind ``@``.
    engine, url, served_model, concurrency, requests_per_minute, tensor_parallel, agreement, \
precision, device, device_map, batch_tokens, bos, eos, tokens_from, tokenizer, template, \
system_prompt, end_of_turn, unconditional, unspelled, overlong, window_tokens, stride, \
split_special_tokens, matmul, layers, double_quantization, int8_threshold, trust_remote_code, \
safetensors_only, noise
        See `ScoringSettings`.
    trajectory, step
        Where along which training the model stands.
    model_type, base_model
        Its family (by default what its configuration says) and what it was made from.
    name
        The run's name, by default made from the model's; one that another model of the experiment
        has already is refused.
    base
        The model that an adapter is applied to, by default the one that the adapter names; the
        user's `trust_remote_code` reaches it only if it is given here.
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
    given = locals() | {"tokenizer": None if tokenizer is None else os.fspath(tokenizer)}
    settings = ScoringSettings(**{key: given[key] for key in ScoringSettings.model_fields})

    def request() -> ScoreRequest:
        reference = served_reference(model, revision, settings)
        said = {key: given[key] for key in (*PointFields.model_fields, "name")}
        said["trajectory"] = trajectory or trajectory_of(reference, step)
        on = None if base is None else ModelReference.parse(base)
        return ScoreRequest(reference=reference, settings=settings, base=on, **said)

    with quiet():
        store = check_reachable()
        if joins(store, run_id):
            with open_run(
                schema.KIND_SCORE, store=store, name=name, experiment=experiment, run_id=run_id
            ) as run:
                asked = request()
                unnamed = not run_id and _AUTOMATIC_NAME.fullmatch(run.name)
                if unnamed:
                    run.rename(asked.point_name)
                prepared = prepare(asked, load_texts(texts, column=column))
                if unnamed and prepared.request.point_name != asked.point_name:
                    run.rename(prepared.request.point_name)  # an alias is a version now
                return _score_joined(run, prepared, again, progress)
        prepared = prepare(request(), load_texts(texts, column=column))
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

    Unless it is to be made `again`, a score that is there is found, and one that another process
    is making is waited for.

    Parameters
    ----------
    nested
        Whether the run becomes a child of an active run, as in `open_run`.
    """
    name, where = prepared.request.point_name, target_experiment(store, experiment)
    damaged: set[str] = set()
    while True:
        there = None
        if not again:
            there = _found_or_waited_for(prepared, where, store, progress, damaged)
        if there is not None:
            return there
        check_name(prepared, where, store)
        check_artifacts_writable(store, experiment)
        ready = TokenCache().ready(prepared, again=again)
        try:
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
                if not again:
                    claim(prepared, run, damaged)
                return score_into(run, ready, bar)
        except Held:
            continue  # another process was faster by a moment


def _found_or_waited_for(
    prepared: Prepared, experiment_id: str, store: MlflowClient, progress: bool, damaged: set[str]
) -> ScoredModel | None:
    """The score, where an experiment holds one that can be read; `damaged` receives the others."""
    while True:
        try:
            there = look(prepared, experiment_id, store, damaged=damaged)
            return None if there is None else already_scored(there)
        except Held as held:
            wait_for(held, store, progress)
        except DamagedRun as found:
            damaged.add(found.run_id)


def _score_joined(run: OpenRun, prepared: Prepared, again: bool, progress: bool) -> ScoredModel:
    """Score into a run that was there before: whatever goes wrong, it has to say so."""
    check_artifacts_writable(run.store, run_id=run.run_id)
    damaged: set[str] = set()
    while not again:
        there = _found_or_waited_for(prepared, run.experiment_id, run.store, progress, damaged)
        if there is not None:
            same = {schema.TAG_KIND: schema.KIND_SKIPPED, schema.TAG_SAME_AS: there.run_id}
            run.log(tags=same)
            return there
        check_name(prepared, run.experiment_id, run.store)
        run.log(tags={schema.TAG_IDENTITY: prepared.identity})
        try:
            claim(prepared, run, damaged)
            break
        except Held:
            continue
    run.log(tags=prepared.tags)
    ready = TokenCache().ready(prepared, again=again)
    with progress_bar(prepared.request.point_name, progress) as bar:
        return score_into(run, ready, bar)
