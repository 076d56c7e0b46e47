"""The page's list of experiments over thousands of them, in one sqlite store.

The store is written straight into the database: experiments with score runs alone, and some with
maps, trajectories and gates beside them. The list is asked for as the server does it, once as this
version does and once by MLflow's own search, a question an experiment, as the first version did.

    python benchmarks/page_experiments.py                       5,000 experiments
    python benchmarks/page_experiments.py --experiments 1500 --search
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag

from mlflow_modelmap.drivers.page.lists import list_experiments, list_runs
from mlflow_modelmap.drivers.page.opened import KINDS
from mlflow_modelmap.tracking.runs.held import _by_search
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.tracking.store.server_store import ServerStore

STUDIES = ("map", "trajectory", "gate")


def fill(address: str, experiments: int, scores: int) -> int:
    """Write the store; how many runs it has."""
    engine = sqlalchemy.create_engine(address)
    runs: list[dict[str, Any]] = []
    tags: list[dict[str, Any]] = []
    with engine.begin() as connection:
        rows = [
            {
                "experiment_id": k,
                "name": f"experiment {k}",
                "artifact_location": f"/nowhere/{k}",
                "lifecycle_stage": "active",
                "creation_time": k,
                "last_update_time": k,
            }
            for k in range(1, experiments + 1)
        ]
        connection.execute(sqlalchemy.insert(SqlExperiment), rows)
        for k in range(1, experiments + 1):
            kinds = ["score"] * scores + (list(STUDIES) if k % 3 == 0 else [])
            for n, kind in enumerate(kinds):
                run_id = uuid.uuid4().hex
                runs.append(
                    {
                        "run_uuid": run_id,
                        "name": f"{kind} {n}",
                        "source_type": "LOCAL",
                        "user_id": "somebody",
                        "status": "FINISHED",
                        "start_time": 1_700_000_000_000 + k * 1000 + n,
                        "end_time": 1_700_000_000_500 + k * 1000 + n,
                        "lifecycle_stage": "active",
                        "artifact_uri": f"/nowhere/{k}/{run_id}",
                        "experiment_id": k,
                    }
                )
                values = {"modelmap.kind": kind, "modelmap.schema": "1", "mlflow.runName": kind}
                tags += [{"run_uuid": run_id, "key": i, "value": v} for i, v in values.items()]
        connection.execute(sqlalchemy.insert(SqlRun), runs)
        connection.execute(sqlalchemy.insert(SqlTag), tags)
    return len(runs)


def seconds(ask: Callable[[], Any], rounds: int) -> float:
    """Median of some rounds."""
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=5000)
    parser.add_argument("--scores", type=int, default=4, help="Score runs an experiment.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--search", action="store_true", help="Also by MLflow's search: minutes.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as folder, quiet():
        address = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        client = MlflowClient(address)
        client.search_experiments(max_results=1)
        runs = fill(address, given.experiments, given.scores)
        half = [str(k) for k in range(0, given.experiments, 2)]
        store = ServerStore(client._tracking_client.store, lambda uri: uri)
        user = ServerStore(
            store.store, lambda uri: uri, lambda ids: set(half).intersection(map(str, ids))
        )
        load = os.getloadavg()[0]
        print(f"{given.experiments:,} experiments, {runs:,} runs, load {load:.1f} before")
        everybody = seconds(lambda: list_experiments(store), given.rounds)
        listed = len(list_experiments(store)["experiments"])
        print(f"{everybody:8.2f} s  the list of experiments ({listed:,} of them)")
        print(f"{seconds(lambda: list_experiments(user), given.rounds):8.2f} s  for a user of half")
        print(f"{seconds(lambda: list_runs(store, '3'), given.rounds):8.2f} s  one experiment")
        if given.search:
            took = seconds(lambda: _by_search(store, tuple(KINDS)), 1)
            print(f"{took:8.2f} s  the list by MLflow's search, a question an experiment")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{peak:8.0f} MB  the most memory of this process")


if __name__ == "__main__":
    main()
