"""What people wait for in an experiment of ten thousand scores, and on a map of as many points.

Made-up score runs are written straight into a sqlite store, then gathered into a map whose t-SNE is
left out: its points are placed at random.

    python benchmarks/large_experiment.py                    10,000 runs, 2,000 texts
    python benchmarks/large_experiment.py --points 3000
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


def timed(what: str, ask: Callable[[], Any]) -> Any:
    """The answer; seconds on the wall and on the processor are printed."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = ask()
    took = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{took[0]:8.2f} s, {took[1]:8.2f} s of CPU  {what}", flush=True)
    return found


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--texts", type=int, default=2_000)
    given = parser.parse_args()
    import mlflow
    from many_runs import write_runs

    from mlflow_modelmap import build_map, compare
    from mlflow_modelmap.drivers.map import build_map as driver
    from mlflow_modelmap.drivers.page.cache import PageCache
    from mlflow_modelmap.drivers.page.map import map_payload
    from mlflow_modelmap.drivers.page.members import members_payload
    from mlflow_modelmap.drivers.page.opened import head, open_run
    from mlflow_modelmap.drivers.page.pair import pair_payload
    from mlflow_modelmap.drivers.score.sweep import FEW
    from mlflow_modelmap.numerics.points.embedding import Embedding
    from mlflow_modelmap.tracking.runs.find_score import scored
    from mlflow_modelmap.tracking.store.server_store import ServerStore

    def at_random(q: np.ndarray, dimensions: int, *_: Any, **__: Any) -> Embedding:
        places = np.random.default_rng(0).standard_normal((len(q), dimensions))
        return Embedding(places, 30.0, None)

    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as name:
        uri = write_runs(Path(name), given.points, given.texts)
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        where = client.get_experiment_by_name("benchmark").experiment_id
        names = ["organisation-3/model-3", "organisation-8/model-8"]
        timed("compare two by name", lambda: compare(*names, experiments=["benchmark"]))
        timed("the same again", lambda: compare(*names, experiments=["benchmark"]))
        about = {"text_digest": "b" * 64, "texts": given.texts}
        timed(
            "what a sweep of two models asks of the experiment",
            lambda: scored(where, client, models=names, **about),
        )
        timed(
            f"what a sweep of more than {FEW} models asks of it",
            lambda: scored(where, client, **about),
        )
        store = ServerStore(client._tracking_client.store, lambda uri: uri)
        last = given.points - 1
        new = client.search_runs([where], "", max_results=1)[0].info.run_id
        driver.tsne, own = at_random, driver.tsne
        rest = f"attributes.run_name != '{client.get_run(new).info.run_name}'"
        made = build_map(["benchmark"], rest)
        driver.tsne = own
        print(f"a map of {last:,} points; {memory():,.0f} MB at most so far")
        timed("place one more point", lambda: build_map(run_ids=[new], extend=made.run_id))
        cache = PageCache()

        def opened() -> Any:
            run = open_run(store, made.run_id)
            return head(store, run), map_payload(store, run, cache)

        timed("the page opens the map", opened)
        timed("the same again", opened)
        run = open_run(store, made.run_id)
        timed("the page asks for members and tags", lambda: members_payload(store, run, cache))
        timed("the same again", lambda: members_payload(store, run, cache))
        timed("a pair", lambda: pair_payload(store, run, cache, 1, last - 1))
        timed("another pair", lambda: pair_payload(store, run, cache, 3, 4))
        print(f"{cache.held_bytes / 1e6:.0f} MB kept by the page")


if __name__ == "__main__":
    main()
