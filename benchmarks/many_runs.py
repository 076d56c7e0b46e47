"""Thousands of score runs written straight into a sqlite store, for the other benchmarks.

Through MLflow a run takes 30 ms; ten thousand of them would take longer than what is measured.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag

TYPES, FAMILIES = 12, 90


def made_up(points: int, texts: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods in nats (points, texts) of models in families in types, and texts' bytes."""
    random = np.random.default_rng(0)
    size = random.integers(700, 1025, texts)
    centres = -0.5 * size + random.normal(0.0, 60.0, (TYPES, texts))
    families = random.normal(0.0, 25.0, (FAMILIES, texts))
    own = random.normal(0.0, 30.0, (points, texts)) * random.uniform(0.1, 1.0, (points, 1))
    k = np.arange(points)
    return centres[k % TYPES] + families[k % FAMILIES] + own, size


def write_runs(folder: Path, points: int, texts: int, *, vectors: bool = True) -> str:
    """The runs, in experiment ``benchmark``; the store's URI. Without vectors, tags alone."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri)
    where = client.create_experiment("benchmark", artifact_location=(folder / "artifacts").as_uri())
    values, size = made_up(points, texts)
    held: dict[Any, list[dict[str, Any]]] = {SqlRun: [], SqlTag: [], SqlParam: []}
    held[SqlLatestMetric] = []
    for k in range(points):
        run_id, name = uuid.uuid4().hex, f"organisation-{k % FAMILIES}/model-{k}"
        root = folder / "artifacts" / run_id / "artifacts"
        held[SqlRun].append(
            {
                "run_uuid": run_id,
                "name": name,
                "source_type": "LOCAL",
                "user_id": "somebody",
                "status": "FINISHED",
                "start_time": 1_700_000_000_000 + 1000 * k,
                "end_time": 1_700_000_000_500 + 1000 * k,
                "lifecycle_stage": "active",
                "artifact_uri": root.as_uri(),
                "experiment_id": int(where),
            }
        )
        tags = {
            "schema": "1",
            "kind": "score",
            "model": name,
            "model_type": f"type-{k % TYPES}",
            "precision": "float32",
            "text_set": "b" * 64,
            "text_set_name": "made-up texts",
            "identity": f"{k:064x}",
        }
        of = {f"modelmap.{n}": v for n, v in tags.items()} | {"mlflow.runName": name}
        held[SqlTag] += [{"run_uuid": run_id, "key": n, "value": v} for n, v in of.items()]
        held[SqlParam] += [
            {"run_uuid": run_id, "key": f"modelmap.setting_{n}", "value": "default"}
            for n in range(10)
        ]
        held[SqlLatestMetric] += [
            {
                "run_uuid": run_id,
                "key": "modelmap/bits_per_byte",
                "value": 1.0,
                "timestamp": 1_700_000_000_000,
                "step": 0,
                "is_nan": False,
            }
        ]
        if vectors:
            (root / "modelmap").mkdir(parents=True)
            table = pa.table(
                {
                    "text": np.arange(texts),
                    "layer": pa.nulls(texts, pa.int64()),
                    "log_likelihood": values[k],
                    "scored_tokens": size // 4,
                    "bytes": size,
                }
            )
            pq.write_table(table, root / "modelmap" / "log_likelihoods.parquet")
    with sqlalchemy.create_engine(uri).begin() as connection:
        for model, rows in held.items():
            connection.execute(sqlalchemy.insert(model), rows)
    return uri
