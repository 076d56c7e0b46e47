"""From score runs in a sqlite store to a map run: where the time goes.

Made-up log-likelihoods of 1,018 models of twelve types on 10,000 texts, written as score runs, then
one call of `build_map`, whose parts are timed as they run. With --quality, also how well the map
keeps neighbourhoods: trustworthiness of its t-SNE for 5 and 30 neighbours, 1 at best.

    python benchmarks/map.py                          1,018 points on 10,000 texts
    python benchmarks/map.py --points 200 --texts 1000
    python benchmarks/map.py --points 10000 --texts 2000          150 s of CPU, 3 GB
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from clock import Clock, now

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1018)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--quality", action="store_true", help="Needs K x K numbers.")
    given = parser.parse_args()
    import mlflow
    from many_runs import write_runs

    from mlflow_modelmap.drivers.map import build_map as driver
    from mlflow_modelmap.drivers.map import pairs
    from mlflow_modelmap.drivers.map.model_map import load_map
    from mlflow_modelmap.drivers.study import selection

    clock = Clock()
    for module, name, part in (
        (selection, "select_runs", "find the runs (one search)"),
        (selection, "read_matrix", "read the vectors"),
        (driver, "coordinates_around", "Q, double-centred"),
        (pairs, "kl_with_standard_error", "KL and standard error, all pairs"),
        (pairs, "nearest", "nearest neighbours"),
        (pairs, "all_neighbours", "KL and error of all pairs, nearest neighbours"),
        (pairs, "in_order", "tree and order of the heatmap"),
        (pairs, "tree_of_distances", "tree and order of the heatmap"),
        (pairs, "averaged", "cells of the heatmap"),
        (driver, "pca", "PCA"),
        (driver, "tsne", "t-SNE"),
    ):
        clock.time(module, name, part)
    clock.time_drawing()
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as folder:
        start = time.perf_counter()
        mlflow.set_tracking_uri(write_runs(Path(folder), given.points, given.texts))
        prepared = time.perf_counter() - start
        start = now()
        made = driver.build_map(["benchmark"])
        total = now() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        load_map(made.run_id)
        loaded = time.perf_counter() - start
        files = [f for f in Path(folder).rglob(f"{made.run_id}/**/*") if f.is_file()]
        held = {f.name: f.stat().st_size for f in files}
    print(f"{given.points:,} points on {given.texts:,} texts, {os.cpu_count()} cores")
    clock.tell(total, "build_map")
    print(f"{loaded:8.2f}                    load_map")
    rest = sum(held.values()) - held["coordinates.npy"]
    print(
        f"coordinates {held['coordinates.npy'] / 1e6:,.0f} MB, all other artifacts "
        f"{rest / 1e6:,.0f} MB, peak memory {peak:,.0f} MB; writing the score runs took "
        f"{prepared:.0f} s"
    )
    if given.quality:
        for place, worth in quality(made).items():
            print(f"trustworthiness of {place}: {worth[0]:.4f} (5 neighbours), {worth[1]:.4f} (30)")


def quality(made: Any) -> dict[str, list[float]]:
    """Trustworthiness of a map's pictures."""
    from sklearn.manifold import trustworthiness

    distances = np.sqrt(made.kl.to_numpy())
    places = {"t-SNE in 2D": "tsne2_", "t-SNE in 3D": "tsne3_", "two components": "pca_"}
    found = {}
    for place, start in places.items():
        columns = [c for c in made.points if c.startswith(start)][: 3 if start == "tsne3_" else 2]
        if columns:
            at = made.points[columns].to_numpy()
            found[place] = [
                trustworthiness(distances, at, n_neighbors=n, metric="precomputed") for n in (5, 30)
            ]
    return found


if __name__ == "__main__":
    main()
