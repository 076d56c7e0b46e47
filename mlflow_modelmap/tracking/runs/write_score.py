"""Tracking: write one score into a run (contract: tags, params, metrics, one Parquet artifact)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlflow_modelmap import __version__
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.logged_model import model_of
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.vector_table import vectors_digest, vectors_of, write_vectors

_MEASURED = ("seconds", "load_seconds", "tokens_per_second", schema.NOISE_KL, schema.NOISE_KL_SE)
_WHERE_MEASURED = {
    "tokens_per_second": schema.METRIC_TOKENS_PER_SECOND,
    schema.NOISE_KL: schema.METRIC_NOISE_KL,
    schema.NOISE_KL_SE: schema.METRIC_NOISE_KL_SE,
}


def bits_per_byte_of(result: ScoreResult, weights: np.ndarray | None = None) -> float:
    """-mean(l) / (B ln 2), B over what was scored; both weighted if the texts are."""
    matrix = LogLikelihoodMatrix(result.log_likelihoods[None], ("model",), result.bytes, weights)
    return float(bits_per_byte(matrix)[0])


def mean_log_likelihood(log_likelihoods: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Nats a text, weighted if the texts are."""
    return float(np.average(log_likelihoods, weights=weights))


def log_score(
    run: OpenRun,
    result: ScoreResult,
    dataset: TextSetDataset,
    *,
    settings: Mapping[str, Any],
    tags: Mapping[str, Any],
    step: int | None = None,
) -> None:
    """Log a score into an open run: input, artifact, params, metrics, tags.

    Parameters
    ----------
    settings
        As asked for; what `result.provenance` says was done takes their place.
    tags
        ``modelmap.*`` tags of the model.
    step
        Training step, at which the metrics are logged, so that the UI can draw them against it.
    """
    texts = dataset.text_set
    weights, documents = texts.weight_array, texts.document_codes
    run.log_texts(dataset)
    with temporary_folder() as folder:
        path = Path(folder) / Path(schema.LOG_LIKELIHOODS).name
        prompts = texts.prompts is not None
        write_vectors(result, path, weights=weights, documents=documents, prompts=prompts)
        run.log_folder(folder)
    facts = {**settings, **result.provenance}
    params = {k: v for k, v in facts.items() if k not in _MEASURED and v not in (None, "")}
    metrics = {
        schema.METRIC_BITS_PER_BYTE: bits_per_byte_of(result, weights),
        schema.METRIC_MEAN_LOG_LIKELIHOOD: mean_log_likelihood(result.log_likelihoods, weights),
        schema.METRIC_SCORED_TOKENS: float(result.scored_tokens.sum()),
    }
    for fact, metric in _WHERE_MEASURED.items():
        value = result.provenance.get(fact)
        if isinstance(value, (int, float)):
            metrics[metric] = float(value)
    run.log(
        params={
            **params,
            "texts": len(result.log_likelihoods),
            "mlflow_modelmap": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        metrics=metrics,
        tags={
            **tags,
            schema.TAG_VECTOR: vectors_digest(vectors_of(result, weights, documents)),
            schema.TAG_UNCONDITIONAL: None if result.unconditional is None else "true",
        },
        step=step or 0,
        model=model_of(run, tags, dataset, step=step or 0),
    )
