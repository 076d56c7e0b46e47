"""Score runs written by hand, with MLflow and pyarrow alone: what anyone could write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

DIGEST = "a" * 64


def vector_frame(values: np.ndarray, layers: dict[int, np.ndarray] | None = None) -> pd.DataFrame:
    """The artifact's rows."""
    parts = []
    for layer, vector in [(None, values), *(layers or {}).items()]:
        parts.append(
            pd.DataFrame(
                {
                    "text": np.arange(len(vector)),
                    "layer": pd.array([layer] * len(vector), dtype="Int64"),
                    "log_likelihood": vector,
                    "scored_tokens": np.full(len(vector), 5),
                    "bytes": 20 + np.arange(len(vector)),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def write_run(store: str, tmp_path: Path) -> Callable[..., str]:
    """`write_run(name, values, status=..., digest=..., frame=..., **tags)` -> run id."""
    client = mlflow.MlflowClient(store)
    made = 0

    def write(
        name: str,
        values: Any = (-30.0, -40.0, -50.0),
        *,
        status: str = "FINISHED",
        digest: str | None = DIGEST,
        layers: dict[int, np.ndarray] | None = None,
        frame: pd.DataFrame | None = None,
        artifact: bool = True,
        experiment: str = "test",
        kind: str = "score",
        start_time: int | None = None,
        **tags: str,
    ) -> str:
        nonlocal made
        made += 1
        found = client.get_experiment_by_name(experiment)
        where = found.experiment_id if found else client.create_experiment(experiment)
        all_tags = {"modelmap.schema": "1", "modelmap.kind": kind, "modelmap.model": name}
        if digest:
            all_tags["modelmap.text_set"] = digest
        all_tags |= {f"modelmap.{key}": value for key, value in tags.items()}
        run_id = client.create_run(
            where, run_name=name, tags=all_tags, start_time=start_time or 1000 * made
        ).info.run_id
        if artifact:
            if frame is None:
                frame = vector_frame(np.asarray(values, dtype=float), layers)
            path = tmp_path / f"{run_id}" / "log_likelihoods.parquet"
            path.parent.mkdir()
            frame.to_parquet(path)
            client.log_artifact(run_id, str(path), "modelmap")
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return run_id

    return write
