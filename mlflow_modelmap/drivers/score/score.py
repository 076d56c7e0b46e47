"""Driver: score one model as one MLflow run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlflow import MlflowClient

from mlflow_modelmap.drivers.process.progress import token_bar
from mlflow_modelmap.drivers.score.one_score import (
    Prepared,
    ScoredModel,
    ScoreRequest,
    TokenCache,
    already_scored,
    mark_skipped,
    prepare,
    score_into,
)
from mlflow_modelmap.drivers.score.one_score import resolve_model as resolve_model
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.find_score import find_scored
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

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
    settings = ScoringSettings(
        precision=precision,
        device=device,
        device_map=device_map,
        batch_tokens=batch_tokens,
        bos=bos,
        overlong=overlong,
        split_special_tokens=split_special_tokens,
        matmul=matmul,
        layers=layers,
        double_quantization=double_quantization,
        int8_threshold=int8_threshold,
        trust_remote_code=trust_remote_code,
    )

    def request() -> ScoreRequest:
        reference = ModelReference.parse(model, revision)
        line = trajectory
        if step is not None and line is None and reference.kind == HUB:
            line = reference.name
        return ScoreRequest(reference, settings, line, step, model_type, base_model, name)

    with quiet():
        store = check_reachable()
        if joins(store, run_id):
            with open_run(
                schema.KIND_SCORE, store=store, name=name, experiment=experiment, run_id=run_id
            ) as run:
                if not run_id and _AUTOMATIC_NAME.fullmatch(run.name):
                    run.rename(name or request().point_name)
                return _score_joined(run, request, texts, store, again, progress)
        asked = request()
        text_set, source = load_texts(texts)
        prepared = prepare(asked, text_set)
        where = target_experiment(store, experiment)
        if not again:
            found = find_scored([prepared.identity], where, store)
            if found is not None:
                return already_scored(found)
        return score_prepared(
            prepared,
            text_set,
            source,
            store=store,
            experiment=experiment,
            again=again,
            progress=progress,
        )


def score_prepared(
    prepared: Prepared,
    texts: TextSet,
    source: str | None,
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
    tokens = TokenCache().tokens_for(prepared, texts, again=again)
    with open_run(
        schema.KIND_SCORE,
        store=store,
        name=prepared.request.point_name,
        experiment=experiment,
        tags=prepared.tags(texts),
        nested=nested,
    ) as run:
        return _scored(run, prepared, texts, source, tokens, again, progress)


def _score_joined(
    run: OpenRun,
    request: Callable[[], ScoreRequest],
    texts: TextSet | str | os.PathLike[str],
    store: MlflowClient,
    again: bool,
    progress: bool,
) -> ScoredModel:
    """Score into a run that was there before: whatever goes wrong, it has to say so."""
    asked = request()
    text_set, source = load_texts(texts)
    prepared = prepare(asked, text_set)
    found = None if again else find_scored([prepared.identity], run.experiment_id, store)
    if found is not None:
        mark_skipped(run, found)
        return already_scored(found)
    run.log(tags=prepared.tags(text_set))
    tokens = TokenCache().tokens_for(prepared, text_set, again=again)
    return _scored(run, prepared, text_set, source, tokens, again, progress)


def _scored(
    run: OpenRun,
    prepared: Prepared,
    texts: TextSet,
    source: str | None,
    tokens: TokenizedTexts | None,
    again: bool,
    progress: bool,
) -> ScoredModel:
    with token_bar(prepared.request.point_name, progress) as bar:
        return score_into(run, prepared, texts, source, again=again, tokens=tokens, progress=bar)


def load_texts(texts: TextSet | str | os.PathLike[str]) -> tuple[TextSet, str | None]:
    """A text set, and where it was read from (None where it was made in memory)."""
    if isinstance(texts, TextSet):
        return texts, None
    from mlflow_modelmap.texts.read import read_texts

    written = os.fspath(texts)
    source = os.path.abspath(written) if os.path.exists(written) else written
    return read_texts(written), source
