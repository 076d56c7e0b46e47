"""One more point on a map that is there, without making the map again.

Made-up log-likelihoods of 3,000 models and one more, written as score runs; a map of the 3,000;
then `place_on_map` of the one, whose parts are timed as they run.

    python benchmarks/place.py [--points 3000] [--texts 2000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from clock import Clock, now

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=3000)
    parser.add_argument("--texts", type=int, default=2000)
    given = parser.parse_args()
    import mlflow
    from many_runs import FAMILIES, write_runs

    from mlflow_modelmap.drivers.map import build_map as driver
    from mlflow_modelmap.drivers.map import extend, place

    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as folder:
        mlflow.set_tracking_uri(write_runs(Path(folder), given.points + 1, given.texts))
        added = f"organisation-{given.points % FAMILIES}/model-{given.points}"
        start = now()
        made = driver.build_map(["benchmark"], filter=f"attributes.run_name != '{added}'")
        whole = now() - start
        [other] = mlflow.search_runs(
            experiment_names=["benchmark"], filter_string=f"attributes.run_name = '{added}'"
        )["run_id"]

        clock = Clock()
        for module, name, part in (
            (place, "load_parent", "load the map"),
            (place, "scores_on", "find the score"),
            (extend, "rows_on", "KL and standard error of the new rows"),
            (extend, "_drawn", "its place in PCA and t-SNE"),
            (extend, "of_squares", "nearest neighbours, tree and order of the heatmap"),
        ):
            clock.time(module, name, part)
        clock.time_drawing()
        start = now()
        extended = place.place_on_map([other], made.run_id)
        total = now() - start
    kept = [c for c in made.points if c.startswith(("pca_", "tsne2_", "tsne3_"))]
    same = np.array_equal(made.points[kept], extended.points[kept][: given.points])
    print(f"{len(made.points):,} points and one, {given.texts:,} texts, {os.cpu_count()} cores")
    clock.tell(total, "place_on_map")
    print(f"{whole[0]:8.2f}  {whole[1]:8.2f}          build_map of the others, for comparison")
    print(f"the others stay where they were: {'yes' if same else 'no'}")


if __name__ == "__main__":
    main()
