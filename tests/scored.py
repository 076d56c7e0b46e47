"""Score runs written with MLflow and pandas alone: a family of made-up models as anyone's runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

DIGEST = "5" * 64


def made_up(points: int = 6, texts: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods in nats (points, texts), near a common vector, and bytes of the texts."""
    random = np.random.default_rng(seed)
    size = random.integers(60, 120, texts)
    common = -0.8 * size + random.normal(0.0, 6.0, texts)
    walk = np.cumsum(random.normal(0.0, 3.0, (points, texts)), axis=0)
    return common + walk - np.linspace(8.0, 0.0, points)[:, None], size


def write_score(
    store: str,
    name: str,
    values: np.ndarray,
    size: np.ndarray,
    *,
    experiment: str = "test",
    digest: str = DIGEST,
    status: str = "FINISHED",
    weights: np.ndarray | None = None,
    alone: np.ndarray | None = None,
    documents: np.ndarray | None = None,
    **tags: Any,
) -> str:
    """One score run; keyword arguments become ``modelmap.`` tags. Its run id comes back.

    `alone` are its log-likelihoods of responses without their prompts, `documents` the number of
    each text's document.
    """
    client = mlflow.MlflowClient(store)
    found = client.get_experiment_by_name(experiment)
    where = found.experiment_id if found else client.create_experiment(experiment)
    all_tags = {
        "modelmap.schema": "1",
        "modelmap.kind": "score",
        "modelmap.model": name,
        "modelmap.text_set": digest,
        "modelmap.text_set_name": "made-up texts",
        **{f"modelmap.{key}": str(value) for key, value in tags.items()},
    }
    run_id = client.create_run(where, run_name=name, tags=all_tags).info.run_id
    frame = pd.DataFrame(
        {
            "text": np.arange(len(values)),
            "layer": pd.array([None] * len(values), dtype="Int64"),
            "log_likelihood": values,
            "scored_tokens": np.full(len(values), 20),
            "bytes": size,
        }
    )
    if weights is not None:
        frame["weight"] = weights
    if documents is not None:
        frame["document"] = documents
    if alone is not None:
        frame["unconditional_log_likelihood"] = alone
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log_likelihoods.parquet"
        frame.to_parquet(path)
        client.log_artifact(run_id, str(path), "modelmap")
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def write_family(
    store: str, steps: tuple[int, ...] = (0, 1, 2, 4, 512), **options: Any
) -> list[str]:
    """Two trajectories of one training each, as runs."""
    ids = []
    for seed in (0, 1):
        values, size = made_up(len(steps), seed=seed)
        size = made_up(len(steps), seed=0)[1]
        for step, row in zip(steps, values, strict=True):
            ids.append(
                write_score(
                    store,
                    f"tiny seed {seed} step {step}",
                    row,
                    size,
                    trajectory=f"tiny-seed{seed}",
                    step=step,
                    model_type="gpt_neox",
                    precision="float32",
                    **options,
                )
            )
    return ids


def write_training(
    store: str, name: str, vectors: dict[int, np.ndarray], size: np.ndarray, digest: str = DIGEST
) -> str:
    """A monitored training with a vector a step, as one run that still goes on; its id."""
    client = mlflow.MlflowClient(store)
    tags = {
        "modelmap.kind": "monitor",
        "modelmap.text_set": digest,
        "modelmap.trajectory": name,
        "modelmap.checkpoints": str(len(vectors)),
    }
    where = client.get_experiment_by_name("test").experiment_id
    run_id = client.create_run(where, run_name=name, tags=tags).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        for step, values in vectors.items():
            frame = pd.DataFrame({"text": np.arange(len(values)), "log_likelihood": values})
            frame["layer"] = pd.array([None] * len(values), dtype="Int64")
            path = Path(folder) / f"step-{step}.parquet"
            frame.assign(scored_tokens=20, bytes=size).to_parquet(path)
            client.log_artifact(run_id, str(path), "modelmap/checkpoints")
        index = Path(folder) / "checkpoints.csv"
        pd.DataFrame({"step": list(vectors), "bits_per_byte": 1.0}).to_csv(index, index=False)
        client.log_artifact(run_id, str(index), "modelmap")
    return run_id
