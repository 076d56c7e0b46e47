"""Driver: an evaluation by MLflow - texts and model out of what it hands over, a score run out."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact, ParquetEvaluationArtifact
from mlflow.models.evaluation.base import EvaluationResult

from mlflow_modelmap.drivers.evaluation.config import EvaluationConfig
from mlflow_modelmap.drivers.evaluation.texts import texts_of
from mlflow_modelmap.drivers.pair.reference_score import (
    ReferenceScore,
    reference_score,
    settings_beside,
)
from mlflow_modelmap.drivers.pair.scale_at_hand import scale_at_hand
from mlflow_modelmap.drivers.pair.with_reference import compare_with_reference, unlike_reading
from mlflow_modelmap.drivers.process.progress import progress_bar
from mlflow_modelmap.drivers.score.noise import with_noise
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import PointFields, ScoreRequest
from mlflow_modelmap.drivers.score.tags import score_tags
from mlflow_modelmap.drivers.score.vector import Ready, vector
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup
from mlflow_modelmap.scoring.model.evaluable import Evaluable, evaluable
from mlflow_modelmap.scoring.model.reference import ModelReference, tag_name
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.chosen_vector import chosen_vector
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.reading import not_logged_yet
from mlflow_modelmap.tracking.runs.selection import vector_param
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.vector_table import vector_table, vectors_of
from mlflow_modelmap.tracking.runs.write_score import log_score
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.json_values import finite
from mlflow_modelmap.words.texts_or_responses import called
from mlflow_modelmap.words.vectors import CONDITIONAL, PMI

log = logging.getLogger("mlflow_modelmap")

COMPARISON = "modelmap/comparison.json"
METRIC_SE = f"{schema.METRIC_BITS_PER_BYTE}_se"
_COMPARED = (
    "kl",
    "kl_se",
    "kl_low",
    "kl_high",
    "bits_per_byte_difference",
    "bits_per_byte_difference_se",
    "bits_per_byte_difference_low",
    "bits_per_byte_difference_high",
    "half_in",
    "reference_bits_per_byte",
)


def evaluate(model: Any, dataset: Any, run_id: str, written: Mapping[str, Any]) -> EvaluationResult:
    """Score a model into the run that MLflow opened for its evaluation.

    Parameters
    ----------
    model
        The pyfunc model that `mlflow.models.evaluate` made of what it was given.
    dataset
        MLflow's evaluation dataset.
    run_id
        Its run; it becomes a score run. One that holds something of ours already (the training
        that was monitored in it, another evaluation) gets a nested child instead.
    written
        The `evaluator_config`, see `EvaluationConfig`.

    Returns
    -------
    EvaluationResult
        Metrics ``modelmap/bits_per_byte`` and ``..._se``, with a reference also ``modelmap/kl``,
        ``kl_se``, ``kl_low``, ``kl_high``, ``half_in`` (texts that make up half of the KL),
        ``bits_per_byte_difference`` with ``..._se``, ``..._low``, ``..._high``, and
        ``reference_bits_per_byte``; what cannot be had from fewer than 10 texts is left out.
        Artifacts
        ``modelmap/log_likelihoods`` and ``modelmap/comparison``.

    Raises
    ------
    InputError, ScoringError, TrackingError
        One sentence each.
    """
    config = EvaluationConfig.of(written)
    texts = texts_of(dataset, config)
    subject = _subject(model)
    with quiet():
        store = check_reachable()
        reference = None
        if config.reference is not None:
            reference = reference_score(
                config.reference,
                texts,
                settings=settings_beside(config.settings, config.reference_precision),
                vector=config.vector,
                trusted=config.trust_experiments,
                store=store,
                progress=config.progress,
            )
        if isinstance(subject, Evaluable):
            result, tags = _score_in_memory(subject, texts, config)
        else:
            result, tags = _score_files(subject, texts, config)
        weights, documents = texts.weight_array, texts.document_codes
        bits, bits_se = bits_and_error(result.log_likelihoods, result.bytes, weights, documents)
        compared = None
        if reference is not None:
            where = [reference.experiment_id]
            own = scale_at_hand(texts.digest, texts.weights_digest, where, store)
            compared = _compared(result, tags, reference, texts, own)
        held = schema.TAG_KIND in store.get_run(run_id).data.tags
        with open_run(
            schema.KIND_SCORE,
            store=store,
            name="evaluation" if held else None,
            run_id=None if held else run_id,
            parent_run_id=run_id,
        ) as run:
            log_score(
                run,
                result,
                TextSetDataset(texts),
                settings=config.settings.model_dump(),
                tags=tags,
                step=config.step,
            )
            metrics = {schema.METRIC_BITS_PER_BYTE: bits, METRIC_SE: bits_se}
            if compared is not None:
                metrics |= _log_comparison(run, compared)
            run.log(metrics=metrics, step=config.step or 0)
        root = store.get_run(run.run_id).info.artifact_uri.rstrip("/")
    artifacts: dict[str, Any] = {
        "modelmap/log_likelihoods": ParquetEvaluationArtifact(
            f"{root}/{schema.LOG_LIKELIHOODS}",
            vector_table(result, weights=weights, documents=documents).to_pandas(),
        )
    }
    if compared is not None:
        artifacts["modelmap/comparison"] = JsonEvaluationArtifact(f"{root}/{COMPARISON}", compared)
    return EvaluationResult(metrics=metrics, artifacts=artifacts, run_id=run.run_id)


def _subject(model: Any) -> ModelReference | Evaluable:
    """Whose files are scored, or the model in memory, out of MLflow's wrapping."""
    from mlflow.pyfunc import PyFuncModel

    if model is None:
        raise InputError(
            "No model was given to evaluate; give the URI of a logged transformers model, or "
            "evaluable(model, tokenizer)."
        )
    if isinstance(model, PyFuncModel):
        about = model.metadata
        if about.model_id:
            return ModelReference.parse(f"models:/{about.model_id}")
        if about.run_id and about.artifact_path:
            return ModelReference.parse(f"runs:/{about.run_id}/{about.artifact_path}")
        raise InputError(
            "This pyfunc model was loaded from a folder that belongs to no run or registry; give "
            "the URI of a logged model, or evaluable(model, tokenizer)."
        )
    function = _function_in(model)
    if isinstance(function, Evaluable):
        return function
    if hasattr(function, "get_output_embeddings") or hasattr(function, "tokenizer"):
        return evaluable(function)
    raise InputError(
        f"A {type(function or model).__name__} gives no log-likelihoods; evaluate the URI of a "
        "logged transformers model, or wrap a model in memory as evaluable(model, tokenizer)."
    )


def _function_in(model: Any) -> Any:
    """The function that MLflow wrapped into a pyfunc model of its own."""
    predict = getattr(type(getattr(model, "python_model", None)), "predict", None)
    for cell in getattr(predict, "__closure__", None) or ():
        if callable(cell.cell_contents):
            return cell.cell_contents
    return None


def _score_files(
    reference: ModelReference, texts: TextSet, config: EvaluationConfig
) -> tuple[ScoreResult, dict[str, Any]]:
    said = {name: getattr(config, name) for name in PointFields.model_fields}
    request = ScoreRequest(reference=reference, settings=config.settings, **said)
    prepared = prepare(request, texts)
    with progress_bar(request.point_name, config.progress) as bar:
        return vector(Ready(prepared), bar), dict(prepared.tags)


def _score_in_memory(
    subject: Evaluable, texts: TextSet, config: EvaluationConfig
) -> tuple[ScoreResult, dict[str, Any]]:
    from mlflow_modelmap.scoring.engine.live import described, score_live, tokens_for

    settings = config.settings
    for name in ("precision", "device", "device_map"):
        if getattr(settings, name) not in ("auto", None):
            raise InputError(
                f"{name} is {getattr(settings, name)!r}, but the model is in memory as it is; "
                "leave it out, or evaluate the URI of a logged model."
            )
    tokens = tokens_for(subject.model, subject.tokenizer, texts, settings)
    about = described(subject.model)
    twice = settings.texts_scored_twice(about["precision"] or "float32")
    result = with_noise(score_live(subject.model, tokens, replace(settings, noise=twice)))
    return result, score_tags(
        texts,
        config,
        model=tag_name(subject.name),
        model_type=about["model_type"],
        precision=str(result.provenance["precision"]),
    )


def _compared(
    result: ScoreResult,
    tags: Mapping[str, Any],
    reference: ReferenceScore,
    texts: TextSet,
    own: Sequence[OwnGroup],
) -> dict[str, Any]:
    """How far the model is from the reference, as plain values."""
    name = str(tags[schema.TAG_MODEL])
    noise = result.provenance.get(schema.NOISE_KL)
    values, likelihoods = result.log_likelihoods, None
    if reference.vector != CONDITIONAL:
        values = chosen_vector(vectors_of(result), reference.vector)
    if reference.vector == PMI:
        likelihoods = result.log_likelihoods
    found = compare_with_reference(
        reference,
        values,
        result.bytes,
        name=name,
        noise_kl=None if noise is None or reference.vector != CONDITIONAL else float(noise),
        likelihoods=likelihoods,
        own=own,
        unit=called(texts.prompts),
    )
    notices = unlike_reading(reference, not_logged_yet(name, result.provenance))
    for notice in notices:
        log.warning(notice)
    return {
        "model": name,
        "reference": reference.name,
        "reference_run_id": reference.run_id,
        "reference_model": reference.model,
        **({} if reference.vector == CONDITIONAL else {"vector": reference.vector}),
        **found.logged(),
        "texts": len(texts),
        "text_set": texts.digest,
        "text_set_name": texts.name,
        **({"notices": notices} if notices else {}),
    }


def _log_comparison(run: OpenRun, compared: Mapping[str, Any]) -> dict[str, float]:
    """Log it as an artifact and tags; its metrics come back."""
    with temporary_folder() as folder:
        path = Path(folder) / Path(COMPARISON).name
        written = json.dumps(finite(compared), indent=2, ensure_ascii=False)
        path.write_text(written, encoding="utf-8")
        run.log_folder(folder)
    run.log(
        params=vector_param(compared.get("vector", CONDITIONAL)),
        tags={
            schema.TAG_REFERENCE_RUN: compared["reference_run_id"],
            schema.TAG_KL_IN_WORDS: compared["words"],
        },
    )
    return {
        f"{schema.ARTIFACT_FOLDER}/{key}": float(compared[key])
        for key in _COMPARED
        if math.isfinite(compared[key])
    }
