"""Many writers at once: score runs through one server over PostgreSQL and S3, and new databases.

Eight processes write 200 made-up score runs each, as `modelmap score` logs them, through one
`mlflow server` with PostgreSQL behind it and artifacts in S3-protocol storage (moto's server). Then
every run is looked for: it must be FINISHED, whole, and its vector the one that was written, to the
bit. Before that, new PostgreSQL databases are first touched by eight processes at the same moment,
the way this package does it and with MLflow's client alone.

    python benchmarks/writers.py                      some minutes on two cores
    python benchmarks/writers.py --writers 3 --runs 10 --databases 1

Needs PostgreSQL (apt-get install postgresql) and `pip install psycopg2-binary boto3 'moto[s3]'`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.object_storage import KEYS, not_here, storage
from tests.postgres import create_database, missing, running, version
from tests.serving import serving

EXPERIMENT, TEXTS, LIMIT_SECONDS = "many writers", 200, 1500


def vector(writer: int, number: int) -> np.ndarray:
    """Made-up log-likelihoods in nats, the same wherever they are made."""
    return np.random.default_rng((writer, number)).normal(-300.0, 40.0, TEXTS)


def texts() -> Any:
    """A text set of so many texts."""
    from mlflow_modelmap import TextSet

    return TextSet("made-up texts", tuple(f"text number {k}, made up" for k in range(TEXTS)))


def write(address: str, writer: int, runs: int) -> list[str]:
    """Log runs as the driver of `modelmap score` does; what failed comes back."""
    import mlflow

    from mlflow_modelmap.drivers.score.request import PointFields
    from mlflow_modelmap.drivers.score.tags import score_tags
    from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
    from mlflow_modelmap.tracking.runs.open_run import open_run
    from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
    from mlflow_modelmap.tracking.runs.write_score import log_score
    from mlflow_modelmap.tracking.store.client import check_reachable

    mlflow.set_tracking_uri(address)
    store, text_set = check_reachable(), texts()
    wait_for_go(f"writer-{writer}")
    failed = []
    for number in range(runs):
        name = f"writer {writer} step {number}"
        tags = score_tags(
            text_set,
            PointFields(trajectory=f"writer {writer}", step=number),
            model=name,
            model_type="made-up",
            precision="float32",
            identity=hashlib.sha256(name.encode()).hexdigest(),
        )
        values = vector(writer, number)
        made = ScoreResult(
            values,
            np.full(TEXTS, 9),
            np.asarray(text_set.bytes),
            provenance={"device": "cpu", "seconds": 1.0, "tokens_per_second": 1.0},
        )
        try:
            with open_run(
                "score", store=store, name=name, experiment=EXPERIMENT, tags=tags, nested=False
            ) as run:
                log_score(
                    run,
                    made,
                    TextSetDataset(text_set),
                    settings=ScoringSettings().model_dump(),
                    tags=tags,
                    step=number,
                )
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
    return failed


def touch(way: str, addresses: Sequence[str]) -> list[str]:
    """Make a run in each of these new databases; of each what failed, or nothing."""
    import mlflow
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401  what takes long to import

    from mlflow_modelmap.tracking.store.first_use import ready

    said = []
    for number, address in enumerate(addresses):
        wait_for_go(f"touch-{number}-{os.getpid()}", f"go-{number}")
        try:
            if way == "ready":
                ready(address)
            store = mlflow.MlflowClient(address, registry_uri=address)
            run = store.create_run("0").info.run_id
            store.log_param(run, "made", "by one of many")
            store.set_terminated(run)
            said.append("")
        except Exception as error:
            said.append(f"{type(error).__name__}: {str(error).splitlines()[0][:100]}")
        Path(f"done-{number}-{os.getpid()}").touch()
    return said


def wait_for_go(own: str, go: str = "go") -> None:
    """Say that one is ready, and wait for the sign that all start at."""
    Path(f"ready-{own}").touch()
    while not Path(go).exists():
        time.sleep(0.001)


class Children:
    """Processes of this script in a folder, and what they print at their end."""

    def __init__(self, folder: Path, commands: Sequence[Sequence[str]]) -> None:
        self.folder, self.until = folder, time.monotonic() + LIMIT_SECONDS
        folder.mkdir()
        self.errors = [folder / f"child-{k}.log" for k in range(len(commands))]
        self.processes = []
        for command, errors in zip(commands, self.errors, strict=True):
            with errors.open("w") as log:
                started = subprocess.Popen(
                    [sys.executable, os.path.abspath(__file__), "--child", *command],
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            self.processes.append(started)

    def wait_for(self, pattern: str) -> None:
        """Until there are as many such files as processes."""
        while len(list(self.folder.glob(pattern))) < len(self.processes):
            for process, errors in zip(self.processes, self.errors, strict=True):
                if process.poll() not in (None, 0):
                    raise SystemExit(f"A process ended early: {errors.read_text()[-2000:]}")
            if time.monotonic() > self.until:
                raise SystemExit(f"Nothing more after {LIMIT_SECONDS} s; stopped.")
            time.sleep(0.01)

    def results(self) -> list[list[str]]:
        """What each printed."""
        told = []
        for process, errors in zip(self.processes, self.errors, strict=True):
            out, _ = process.communicate(timeout=max(1.0, self.until - time.monotonic()))
            if process.returncode:
                raise SystemExit(f"A process failed: {errors.read_text()[-2000:]}")
            told.append(json.loads(out.splitlines()[-1]))
        return told

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def first_touch(folder: Path, server: str, way: str, processes: int, databases: int) -> None:
    """New databases, each first touched by so many processes at once: prints what became of it."""
    import mlflow

    addresses = [create_database(server, f"{way} {k}") for k in range(databases)]
    started = 0.0
    with Children(folder / way, [("touch", way, *addresses)] * processes) as children:
        for number in range(databases):
            children.wait_for(f"ready-touch-{number}-*")
            before = time.monotonic()
            (folder / way / f"go-{number}").touch()
            children.wait_for(f"done-{number}-*")
            started += time.monotonic() - before
        said = [one for of in children.results() for one in of]
    failed = [one for one in said if one]
    kept, unusable = 0, 0
    for address in addresses:
        try:
            kept += len(mlflow.MlflowClient(address, registry_uri=address).search_runs(["0"]))
        except Exception:
            unusable += 1
    name = {"ready": "as this package does it", "client": "MLflow's client alone"}[way]
    print(
        f"{name:24}{databases:>10}{len(said):>9}{len(failed):>8}{kept:>12}{unusable:>10}"
        f"{started / databases:>12.1f}",
        flush=True,
    )
    for what, times in Counter(failed).most_common(2):
        print(f"    {times} x {what}")


def many_writers(folder: Path, server: str, writers: int, runs: int) -> None:
    """Write through one server, look for everything, and print what was found."""
    import mlflow

    with storage(folder, "runs") as endpoint:
        env = {"MLFLOW_S3_ENDPOINT_URL": endpoint, **KEYS}
        env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        database = create_database(server, "written")
        options = ["--backend-store-uri", database, "--artifacts-destination", "s3://runs/all"]
        with serving(folder, *options, "--workers", "2", env=env) as address:
            mlflow.set_tracking_uri(address)
            commands = [("write", address, str(k), str(runs)) for k in range(writers)]
            with Children(folder / "writers", commands) as children:
                children.wait_for("ready-writer-*")
                before = time.monotonic()
                (folder / "writers" / "go").touch()
                failed = [one for of in children.results() for one in of]
                took = time.monotonic() - before
            asked = writers * runs
            print(f"{asked:>7,} runs written in {took:,.0f} s ({asked / took:.1f} a second)")
            print(f"{len(failed):>7,} of them failed", *failed[:2], flush=True)
            look_for(address, writers, runs)


def look_for(address: str, writers: int, runs: int) -> None:
    """Every run by its status, what is whole, and every vector beside the one that was written."""
    import mlflow

    from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
    from mlflow_modelmap.tracking.runs.select_runs import select_runs

    store = mlflow.MlflowClient(address)
    where = [store.get_experiment_by_name(EXPERIMENT).experiment_id]
    found: list[Any] = []
    token: str | None = None
    while token is not None or not found:
        page = store.search_runs(where, max_results=500, page_token=token)
        found += page
        token = page.token
        if not page:
            break
    states = Counter(run.info.status for run in found)
    whole = sum(
        "modelmap.texts" in run.data.params
        and "modelmap/bits_per_byte" in run.data.metrics
        and "modelmap.identity" in run.data.tags
        and bool(run.inputs.dataset_inputs)
        for run in found
    )
    before = time.monotonic()
    notices: list[str] = []
    points = select_runs([EXPERIMENT], notices=notices)
    selected = time.monotonic()
    matrix, points = read_matrix(points)
    read = time.monotonic()
    there = {
        (point.trajectory, point.step): row
        for point, row in zip(points, matrix.values, strict=True)
    }
    same = sum(
        (f"writer {w}", k) in there and np.array_equal(there[f"writer {w}", k], vector(w, k))
        for w in range(writers)
        for k in range(runs)
    )
    print(f"{len(found):>7,} runs in the store:", *(f"{n:,} {of}" for of, n in states.items()))
    print(f"{whole:>7,} have their params, metrics, tags and text set")
    print(
        f"{len(points):>7,} selected in {selected - before:.1f} s, read in {read - selected:.1f} s"
    )
    print(f"{same:>7,} vectors are the ones that were written; lost: {writers * runs - same:,}")
    for notice in notices:
        print(f"        {notice}")


def child(what: str, *rest: str) -> None:
    """One of the processes."""
    if what == "write":
        print(json.dumps(write(rest[0], int(rest[1]), int(rest[2]))))
    else:
        print(json.dumps(touch(rest[0], rest[1:])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--writers", type=int, default=8, help="processes at once")
    parser.add_argument("--runs", type=int, default=200, help="score runs of each")
    parser.add_argument("--databases", type=int, default=5, help="new ones that are touched")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    lacking = missing() or not_here()
    if lacking:
        print(f"The writers were not measured: {lacking}")
        return
    os.environ.update(KEYS)
    import mlflow
    import moto

    load = os.getloadavg()[0]
    print(
        f"PostgreSQL {version()}, moto {moto.__version__}, MLflow {mlflow.__version__}, "
        f"{os.cpu_count()} cores, load {load:.1f} before\n"
    )
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as name, running() as server:
        folder = Path(name)
        if given.databases:
            print(f"New databases, each first touched by {given.writers} processes at once:")
            print(
                f"{'':24}{'databases':>10}{'touches':>9}{'failed':>8}{'runs kept':>12}"
                f"{'unusable':>10}{'s each':>12}"
            )
            for way in ("ready", "client"):
                first_touch(folder, server, way, given.writers, given.databases)
            print()
        if given.runs:
            many_writers(folder, server, given.writers, given.runs)


if __name__ == "__main__":
    main()
