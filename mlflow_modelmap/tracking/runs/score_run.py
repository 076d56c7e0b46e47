"""Tracking: write one score run (contract: tags, params, metrics, one Parquet artifact)."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag

from mlflow_modelmap import __version__
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.open_run import OpenRun
from mlflow_modelmap.tracking.runs.read_vectors import Vectors
from mlflow_modelmap.tracking.runs.select_runs import Point, search_score_runs
from mlflow_modelmap.tracking.runs.text_dataset import CONTEXT, TextSetDataset
from mlflow_modelmap.tracking.store.client import find_experiments

_MEASURED = ("seconds", "load_seconds", "tokens_per_second")


def vector_table(
    result: ScoreResult,
    metadata: Mapping[str, str] | None = None,
    weights: np.ndarray | None = None,
) -> pa.Table:
    """The artifact's rows: one a text, layer null; with the lens one more a text and layer.

    `weights` are those of the text set, shape (N,), if it has any.
    """
    layers = result.layer_log_likelihoods
    count = len(result.log_likelihoods)
    rows = 1 if layers is None else 1 + len(layers)
    values = [result.log_likelihoods] if layers is None else [result.log_likelihoods, *layers]
    numbers = np.repeat(np.arange(-1, rows - 1), count)
    layer = pa.array(numbers, mask=numbers < 0, type=pa.int64())
    columns = {
        "text": np.tile(np.arange(count, dtype=np.int64), rows),
        "layer": layer,
        "log_likelihood": np.concatenate(values).astype(np.float64, copy=False),
        "scored_tokens": np.tile(result.scored_tokens.astype(np.int64, copy=False), rows),
        "bytes": np.tile(result.bytes.astype(np.int64, copy=False), rows),
    }
    if weights is not None:
        columns[schema.WEIGHT_COLUMN] = np.tile(weights.astype(np.float64, copy=False), rows)
    table = pa.table(columns)
    return table.replace_schema_metadata(dict(metadata)) if metadata else table


def write_vectors(
    result: ScoreResult,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    weights: np.ndarray | None = None,
) -> None:
    """Write the artifact; the file appears whole or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(
            vector_table(result, metadata, weights),
            partial,
            compression="zstd",
            # All log-likelihoods differ: a dictionary of them is larger than they are.
            use_dictionary=["layer", "scored_tokens", "bytes"],
        )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def result_of(vectors: Vectors, provenance: Mapping[str, Any]) -> ScoreResult | None:
    """A score read back from its artifact, or None where the model's own rows are missing."""
    if vectors.own is None:
        return None
    layers = [vectors.layers[k] for k in sorted(vectors.layers)]
    return ScoreResult(
        log_likelihoods=vectors.own,
        scored_tokens=vectors.scored_tokens,
        bytes=vectors.bytes,
        layer_log_likelihoods=np.stack(layers) if layers else None,
        provenance=dict(provenance),
    )


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
    weights = dataset.text_set.weight_array
    run.store.log_inputs(
        run.run_id,
        [DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", CONTEXT)])],
    )
    with tempfile.TemporaryDirectory(prefix="modelmap-") as folder:
        write_vectors(result, Path(folder) / Path(schema.LOG_LIKELIHOODS).name, weights=weights)
        run.log_folder(folder)
    facts = {**settings, **result.provenance}
    params = {k: v for k, v in facts.items() if k not in _MEASURED and v not in (None, "")}
    metrics = {
        schema.METRIC_BITS_PER_BYTE: bits_per_byte_of(result, weights),
        schema.METRIC_MEAN_LOG_LIKELIHOOD: mean_log_likelihood(result.log_likelihoods, weights),
        schema.METRIC_SCORED_TOKENS: float(result.scored_tokens.sum()),
    }
    speed = result.provenance.get("tokens_per_second")
    if isinstance(speed, (int, float)):
        metrics[schema.METRIC_TOKENS_PER_SECOND] = float(speed)
    run.log(
        params={
            **params,
            "texts": len(result.log_likelihoods),
            "mlflow_modelmap": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        metrics=metrics,
        tags=tags,
        step=step or 0,
    )


def find_scored(identity: str, experiment_id: str, store: MlflowClient) -> Point | None:
    """The latest finished run of an experiment with this identity, or None."""
    return scored(experiment_id, store, identity=identity).get(identity)


def find_scored_anywhere(identity: str, first: Iterable[str], store: MlflowClient) -> Point | None:
    """As `find_scored`, in all experiments; a run in those named `first` is preferred."""
    every = [experiment.experiment_id for experiment in find_experiments((), store)]
    runs = search_score_runs(every, f"tags.`{schema.TAG_IDENTITY}` = '{identity}'", store)
    preferred = set(first)
    return max(
        filter(_has_vectors, runs),
        key=lambda run: (run.experiment_id in preferred, run.start_time, run.run_id),
        default=None,
    )


def scored(
    experiment_id: str,
    store: MlflowClient,
    *,
    identity: str | None = None,
    text_digest: str | None = None,
) -> dict[str, Point]:
    """The finished score runs of an experiment by identity, found with one search."""
    conditions = []
    if identity:
        conditions.append(f"tags.`{schema.TAG_IDENTITY}` = '{identity}'")
    if text_digest:
        conditions.append(f"tags.`{schema.TAG_TEXT_SET}` = '{text_digest}'")
    runs = search_score_runs([experiment_id], " AND ".join(conditions) or None, store)
    runs.sort(key=lambda run: (run.start_time, run.run_id))
    return {run.identity: run for run in runs if run.identity and _has_vectors(run)}


def _has_vectors(run: Point) -> bool:
    """Whether the artifact is there, as far as can be told without a request."""
    root = local_path(run.artifact_uri)
    return root is None or (root / schema.LOG_LIKELIHOODS).is_file()
