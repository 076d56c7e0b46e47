"""From score runs in a sqlite store to a map run: where the time goes.

Made-up log-likelihoods of 1,018 models of twelve types on 10,000 texts, written as score runs with
MLflow alone, then one call of `build_map`, whose parts are timed as they run.

    python benchmarks/map.py                          1,018 points on 10,000 texts
    python benchmarks/map.py --points 200 --texts 1000
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
TYPES = 12


def write_runs(folder: Path, points: int, texts: int) -> str:
    """The score runs, in experiment ``benchmark``; the store's URI."""
    import mlflow
    import pandas as pd
    from mlflow.entities import RunTag

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    where = client.create_experiment("benchmark", artifact_location=(folder / "artifacts").as_uri())
    random = np.random.default_rng(0)
    size = random.integers(700, 1025, texts)
    centres = -0.5 * size + random.normal(0.0, 60.0, (TYPES, texts))
    for k in range(points):
        values = centres[k % TYPES] + random.normal(0.0, 30.0, texts)
        run = client.create_run(where, run_name=f"organisation-{k % 90}/model-{k}")
        path = Path(run.info.artifact_uri.removeprefix("file://")) / "modelmap"
        path.mkdir(parents=True)
        pd.DataFrame(
            {
                "text": np.arange(texts),
                "layer": pd.array([None] * texts, dtype="Int64"),
                "log_likelihood": values,
                "scored_tokens": size // 4,
                "bytes": size,
            }
        ).to_parquet(path / "log_likelihoods.parquet")
        tags = {
            "schema": "1",
            "kind": "score",
            "model": f"organisation-{k % 90}/model-{k}",
            "model_type": f"type-{k % TYPES}",
            "precision": "float32",
            "text_set": "b" * 64,
            "text_set_name": "made-up texts",
        }
        client.log_batch(
            run.info.run_id, tags=[RunTag(f"modelmap.{n}", v) for n, v in tags.items()]
        )
        client.set_terminated(run.info.run_id)
    return uri


def now() -> np.ndarray:
    """Seconds on the wall and on the processor."""
    return np.array([time.perf_counter(), time.process_time()])


class Clock:
    """Seconds (wall, processor) by part; a part inside another is not counted twice."""

    def __init__(self) -> None:
        self.spent: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        self.inside: list[np.ndarray] = []

    def time(self, module: Any, name: str, part: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = now()
            self.inside.append(np.zeros(2))
            try:
                return function(*arguments, **keywords)
            finally:
                took = now() - start
                self.spent[part] += took - self.inside.pop()
                if self.inside:
                    self.inside[-1] += took

        setattr(module, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1018)
    parser.add_argument("--texts", type=int, default=10_000)
    given = parser.parse_args()
    from mlflow_modelmap.drivers.map import build_map as driver
    from mlflow_modelmap.drivers.map import pictures as map_pictures
    from mlflow_modelmap.drivers.map.model_map import load_map
    from mlflow_modelmap.drivers.study import selection
    from mlflow_modelmap.tracking.runs import study_run as map_run
    from mlflow_modelmap.tracking.runs.log_values import OpenRun

    clock = Clock()
    for module, name, part in (
        (selection, "select_runs", "find the runs (one search)"),
        (selection, "read_matrix", "read the vectors"),
        (driver, "coordinates", "Q, double-centred"),
        (driver, "kl_with_standard_error", "KL and standard error, all pairs"),
        (driver, "pca", "PCA"),
        (driver, "tsne", "t-SNE, 2D and 3D"),
        (driver, "nearest", "nearest neighbours"),
        (map_pictures, "map_figure", "map figures"),
        (map_pictures, "heatmap_figure", "heatmap with its tree"),
        (map_pictures, "bars_figure", "bits-per-byte bars"),
        (map_pictures, "interactive_map", "interactive page"),
        (map_run, "_write_files", "write PNG, Parquet and npy files"),
        (OpenRun, "log_folder", "log them as artifacts"),
    ):
        clock.time(module, name, part)
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as folder:
        start = time.perf_counter()
        write_runs(Path(folder), given.points, given.texts)
        prepared = time.perf_counter() - start
        start = now()
        made = driver.build_map(["benchmark"])
        total = now() - start
        start = time.perf_counter()
        load_map(made.run_id)
        loaded = time.perf_counter() - start
        held = sum(
            f.stat().st_size for f in Path(folder).rglob(f"{made.run_id}/**/*") if f.is_file()
        )
    print(f"{given.points:,} points on {given.texts:,} texts, {os.cpu_count()} cores")
    print(f"{'seconds':>8}  {'of CPU':>8}  {'share':>6}  part of build_map")
    rest = total - sum(clock.spent.values())
    for part, spent in {**clock.spent, "the rest": rest, "all of it": total}.items():
        print(f"{spent[0]:8.2f}  {spent[1]:8.2f}  {spent[0] / total[0]:6.1%}  {part}")
    print(f"{loaded:8.2f}                    load_map")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"artifacts {held / 1e6:,.0f} MB, peak memory {peak:,.0f} MB; ", end="")
    print(f"writing the score runs took {prepared:.0f} s")


if __name__ == "__main__":
    main()
