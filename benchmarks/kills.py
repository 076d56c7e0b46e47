"""Killed at random moments and started again: what is lost, half-done or done twice.

Three pieces of work are killed (SIGKILL, the whole process group) at moments drawn from a seed, and
the same command is started again each time until it is done: a sweep of 30 tiny checkpoints, a map
of their scores, and a training that is monitored in a loop of its own. Each is first done without a
kill, to compare with (every vector must be the same to the bit) and to measure how long the work
takes once Python's modules are there: each process is forked from one that has imported them, so
that kills fall into the work. One kill in seven falls before the run is there, at a moment drawn
over the time that takes; the others are drawn over the time from that run on: over three
checkpoints of a sweep or training, over the whole of a map.

    python benchmarks/kills.py                      some 15 minutes on two idle cores
    python benchmarks/kills.py --kills 3 --parts sweep

A part whose time is over is killed no more: the table says how many kills there were.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

MODELS, TEXTS, STEPS = 30, 24, 40
SHARES = {"sweep": 0.4, "map": 0.3, "monitor": 0.3}
"""Of the time for all, how much each part may take."""
BEFORE = 1 / 7
"""How many of the kills fall before the run is there."""
EXPERIMENT = "killed"
IMPORTED = (
    "mlflow_modelmap.surfaces.cli.sweep",
    "mlflow_modelmap.surfaces.cli.map",
    "mlflow_modelmap.surfaces.cli.clean",
    "mlflow_modelmap.drivers.score.sweep",
    "mlflow_modelmap.drivers.map.build_map",
    "mlflow_modelmap.drivers.monitor.monitor",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.artifact.local_artifact_repo",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "transformers.models.llama.modeling_llama",
    "torch.optim",
    "tests.training",
)
BEGUN = """SELECT process.value FROM tags kind JOIN tags process
    ON process.run_uuid = kind.run_uuid AND process.key = 'modelmap.process'
    WHERE kind.key = 'modelmap.kind' AND kind.value = ?"""
"""Who works, or worked, on the runs of a kind."""


def child(command: Sequence[str], folder: str, env: dict[str, str]) -> None:
    """What a forked process does: become a command of its own in a folder."""
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # TMPDIR is another now
    os.chdir(folder)
    with open("log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    what, *rest = command
    if what == "train":
        train(*rest)
        return
    from mlflow_modelmap.surfaces.cli import main as modelmap

    modelmap(rest)


class Work:
    """One command over a store in a folder of its own, and how its process ended each time.

    Attributes
    ----------
    kind
        Of the runs that it makes and works on; the first of them is the sign that it has begun.
    before, begun
        Kills before that sign, and after it.
    """

    def __init__(self, folder: Path, kind: str, command: Sequence[str]) -> None:
        self.folder, self.kind, self.command = folder, kind, command
        folder.mkdir(exist_ok=True)
        self.store = f"sqlite:///{folder / 'mlflow.db'}"
        self.failed = self.before = self.begun = 0
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
            "MLFLOW_TRACKING_URI": self.store,
            "MLFLOW_EXPERIMENT_NAME": EXPERIMENT,
            "MLFLOW_MODELMAP_SPOOL": str(folder / "spool"),
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir(exist_ok=True)

    def start(self, command: Sequence[str] | None = None) -> Any:
        """A process forked from the one that has imported everything."""
        forked = multiprocessing.get_context("forkserver").Process(
            target=child, args=(command or self.command, str(self.folder), self.env)
        )
        forked.start()
        return forked

    def run(self) -> tuple[float, float]:
        """To the end, which must be a good one: seconds until it has begun, and from there."""
        signs, started = self._signs(), time.monotonic()
        process = self.start()
        self._until_begun(process, signs)
        begun = time.monotonic()
        process.join(600)
        if process.exitcode:
            raise SystemExit(self.log())
        return begun - started, time.monotonic() - begun

    def killed(self, after: float, before: bool) -> bool:
        """Start and kill; whether it was still there to be killed.

        So many seconds after it has begun or, where that is to be `before`, after its start.
        """
        signs = self._signs()
        process = self.start()
        if not before:
            self._until_begun(process, signs)
        process.join(after)
        alive = process.exitcode is None
        if alive:
            # Before it leads a group of its own, the process alone is killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
        process.join()
        if alive and process.exitcode == -signal.SIGKILL:
            if before and self._signs() <= signs:
                self.before += 1
            else:
                self.begun += 1
            return True
        if process.exitcode:
            self.failed += 1
            print(self.log(), file=sys.stderr)
        return False

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _until_begun(self, process: Any, signs: set[str]) -> None:
        while process.exitcode is None and self._signs() <= signs:
            process.join(0.02)

    def _signs(self) -> set[str]:
        """Processes that have begun; none while the database is new or being mended."""
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{self.folder / 'mlflow.db'}?mode=ro", uri=True)
            ) as held:
                return {said for (said,) in held.execute(BEGUN, (self.kind,))}
        except sqlite3.OperationalError:
            return set()

    def clean(self, *options: str) -> bool:
        """Whether `modelmap clean` ended well."""
        process = self.start(["modelmap", "clean", "--json", *options])
        process.join(300)
        return process.exitcode == 0


def runs(store: str, kind: str) -> list[Any]:
    """All runs of a kind."""
    import mlflow

    client = mlflow.MlflowClient(store)
    there = client.get_experiment_by_name(EXPERIMENT)
    if there is None:
        return []
    asked = f"tags.`modelmap.kind` = '{kind}'"
    return list(client.search_runs([there.experiment_id], asked, max_results=5000))


def running(store: str) -> int:
    """Runs of any kind that are RUNNING."""
    import mlflow

    client = mlflow.MlflowClient(store)
    ids = [of.experiment_id for of in client.search_experiments()]
    return len(client.search_runs(ids, "attributes.status = 'RUNNING'", max_results=5000))


def vectors(store: str, run_ids: Sequence[str]) -> dict[tuple[str | None, int | None], np.ndarray]:
    """What these runs hold, by trajectory and step; unreadable ones are left out."""
    import mlflow

    from mlflow_modelmap.errors import ModelMapError
    from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
    from mlflow_modelmap.tracking.runs.select_runs import select_runs

    mlflow.set_tracking_uri(store)
    found = {}
    for run_id in run_ids:
        try:
            matrix, points = read_matrix(select_runs(run_ids=[run_id]))
        except ModelMapError:
            continue
        for point, row in zip(points, matrix.values, strict=True):
            found[point.trajectory, point.step] = row
    return found


class Table:
    """Facts of one part, printed as lines."""

    def __init__(self, title: str) -> None:
        print(f"\n{title}", flush=True)

    def say(self, value: Any, what: str) -> None:
        print(f"{value!s:>8}  {what}", flush=True)


def attack(
    work: Work, draws: random.Random, kills: int, first: float, span: float, seconds: float,
    after_each: Callable[[], None],
) -> None:  # fmt: skip
    """Kill and start again, over the seconds until it has begun and the span from there."""
    until = time.monotonic() + seconds
    for _ in range(3 * kills):
        if work.before + work.begun == kills or time.monotonic() > until:
            break
        before = draws.random() < BEFORE
        if work.killed(draws.uniform(0, first if before else span), before):
            after_each()


def kills_of(work: Work, table: Table) -> None:
    """How many there were."""
    table.say(work.before + work.begun, f"kills, {work.before} of them before the run was there")


def sweep_part(folder: Path, draws: random.Random, kills: int, seconds: float) -> Work:
    """A sweep: checkpoints that are finished stay, and are scored once."""
    from tests import tiny

    for k in range(MODELS):
        tiny.make_model(folder / "models" / f"step{k}", "gpt_neox", seed=k)
    texts = [f"{s} #{k}" for k in range(TEXTS // len(tiny.SENTENCES)) for s in tiny.SENTENCES]
    (folder / "texts.json").write_text(json.dumps(texts))
    (folder / "plan.json").write_text(
        json.dumps(
            {
                "texts": str(folder / "texts.json"),
                "experiment": EXPERIMENT,
                "models": [
                    {
                        "model": str(folder / "models" / "step{step}"),
                        "steps": [{"start": 0, "stop": MODELS - 1, "every": 1}],
                        "trajectory": "tiny",
                    }
                ],
            }
        )
    )
    command = ["modelmap", "sweep", str(folder / "plan.json")]
    whole = Work(folder / "whole", "score", command)
    first, took = whole.run()
    expected = vectors(whole.store, [run.info.run_id for run in runs(whole.store, "score")])
    work = Work(folder / "attacked", "score", command)
    before: set[str] = set()
    in_flight, waited, most = 0, 0, 0

    def after_each() -> None:
        nonlocal in_flight, waited, most, before
        scores = runs(work.store, "score")
        finished = {of.data.tags["modelmap.identity"] for of in scores if done(of)}
        open_now = {
            of.data.tags.get("modelmap.identity", "")
            for of in scores
            if of.info.status == "RUNNING" and of.info.run_id not in before
        } - finished
        before |= {of.info.run_id for of in scores}
        spooled = {path.stem for path in (folder / "attacked" / "spool").glob("*.parquet")}
        in_flight += len(open_now)
        waited += len(open_now & spooled)
        most = max(most, len(open_now))
        kept.append({of.info.run_id for of in scores if done(of)})

    kept: list[set[str]] = []
    attack(work, draws, kills, first, 3 * took / MODELS, seconds, after_each)
    work.run()
    scores = [run for run in runs(work.store, "score") if done(run)]
    ids = [run.info.run_id for run in scores]
    found = vectors(work.store, ids)
    by_model = Counter(run.data.tags["modelmap.identity"] for run in scores)
    wrong = sum(
        not np.array_equal(
            vectors(work.store, [run_id]).get(key(run), np.empty(0)), expected[key(run)]
        )
        for run_id, run in zip(ids, scores, strict=True)
    )
    took_it = f"{first:.1f} s to its first run, then {took:.1f} s"
    table = Table(f"A sweep of {MODELS} checkpoints ({took_it})")
    kills_of(work, table)
    table.say(f"{len(found)}/{MODELS}", "checkpoints scored at the end")
    table.say(len(set().union(*kept) - set(ids)), "finished scores lost")
    table.say(wrong, "runs FINISHED whose vector is not whole, or not the one expected")
    table.say(sum(by_model.values()) - len(by_model), "finished checkpoints that were scored again")
    table.say(in_flight, f"checkpoints in flight when killed (at most {most} a kill)")
    table.say(waited, "of them had their vector in the spool, and were not scored again")
    left_over(work, table)
    return work


def done(run: Any) -> bool:
    return bool(run.info.status == "FINISHED")


def key(run: Any) -> tuple[str, int]:
    return run.data.tags["modelmap.trajectory"], int(run.data.tags["modelmap.step"])


def left_over(work: Work, table: Table) -> None:
    """Starts that failed without a kill, and runs RUNNING at the end.

    And after `modelmap clean --yes`, where there is such a command.
    """
    table.say(work.failed, "starts that failed by themselves")
    table.say(running(work.store), "runs still RUNNING at the end")
    if work.clean():
        work.clean("--yes")
        table.say(running(work.store), "of them after `modelmap clean --yes`")


def map_part(
    folder: Path, store_of: Work, draws: random.Random, kills: int, seconds: float
) -> None:
    """A map: what is FINISHED is a whole map."""
    import mlflow

    from mlflow_modelmap.drivers.map.model_map import load_map
    from mlflow_modelmap.errors import ModelMapError

    work = Work(store_of.folder, "map", ["modelmap", "map", "--experiment", EXPERIMENT])
    work.clean("--yes")  # what the sweep left is counted there
    others = running(work.store)
    first, took = work.run()
    (whole,) = runs(work.store, "map")
    mlflow.set_tracking_uri(work.store)
    expected = load_map(whole.info.run_id).kl.to_numpy()
    attack(work, draws, kills, first, took, seconds, lambda: None)
    work.run()
    made = runs(work.store, "map")
    finished = [run.info.run_id for run in made if done(run)]
    half = 0
    for run_id in finished:
        try:
            half += not np.array_equal(load_map(run_id).kl.to_numpy(), expected)
        except ModelMapError:
            half += 1
    scores = [run for run in runs(work.store, "score") if done(run)]
    table = Table(f"A map of them ({first:.1f} s to its run, then {took:.1f} s)")
    kills_of(work, table)
    table.say(MODELS - len({key(run) for run in scores}), "scores lost")
    table.say(len(finished), "maps FINISHED, the first and the last undisturbed")
    table.say(half, "of them not whole, or with other distances")
    table.say(len(made) - len(finished), "maps begun and killed before their end")
    if others:
        table.say(others, "runs were RUNNING before")
    left_over(work, table)


def monitor_part(folder: Path, draws: random.Random, kills: int, seconds: float) -> None:
    """A monitored training: what is recorded stays, and is recorded once."""
    import mlflow

    from tests.training import start_model

    start_model(folder / "start")
    command = ["train", str(folder / "start")]
    whole = Work(folder / "whole training", "monitor", command)
    first, took = whole.run()
    (run,) = runs(whole.store, "monitor")
    expected = vectors(whole.store, [run.info.run_id])
    work = Work(folder / "attacked training", "monitor", command)
    kept: list[dict[Any, np.ndarray]] = []
    lost = 0

    def after_each() -> None:
        nonlocal lost
        found = runs(work.store, "monitor")
        now = vectors(work.store, [of.info.run_id for of in found])
        if kept:
            lost += len(kept[-1].keys() - now.keys())
        kept.append(now)

    attack(work, draws, kills, first, 3 * took / STEPS, seconds, after_each)
    work.run()
    made = runs(work.store, "monitor")
    found = vectors(work.store, [of.info.run_id for of in made])
    wrong = sum(not np.array_equal(row, expected[at]) for at, row in found.items())
    wrong += sum(not np.array_equal(row, expected[at]) for of in kept for at, row in of.items())
    client = mlflow.MlflowClient(work.store)
    times = Counter(
        metric.step
        for of in made
        for metric in client.get_metric_history(of.info.run_id, "modelmap/bits_per_byte")
    )
    table = Table(f"A monitored training ({first:.1f} s to its run, then {took:.1f} s)")
    kills_of(work, table)
    table.say(f"{len(found)}/{len(expected)}", "checkpoints recorded at the end")
    table.say(lost, "recorded checkpoints lost")
    table.say(
        wrong, "checkpoints counted that are not whole, or not those of a training not killed"
    )
    table.say(sum(times.values()) - len(times), "metrics of a checkpoint logged twice")
    table.say(len(made), f"run of the training, {', '.join(of.info.status for of in made)}")
    left_over(work, table)


def train(start: str) -> None:
    """The loop that is killed: its state is saved at every step, and it goes on from there."""
    import mlflow
    import torch

    from mlflow_modelmap import Monitor
    from tests.training import examples, model_of, monitoring_texts, tokenizer_of

    state, named = Path("state.pt"), Path("run")
    tokenizer, model = tokenizer_of(start), model_of(start).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    first = 0
    if state.exists():
        held = torch.load(state, weights_only=True)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        first = held["step"]
    rows = torch.tensor([of["input_ids"] for of in examples(tokenizer)])
    known = named.read_text() if named.exists() else None
    with mlflow.start_run(run_id=known, run_name=None if known else "a training") as run:
        if known is None:
            Path("run.new").write_text(run.info.run_id)
            os.replace("run.new", named)
        with Monitor(monitoring_texts(), tokenizer=tokenizer, trajectory="a training") as monitor:
            monitor.start(model, total_steps=STEPS)
            for step in range(first, STEPS + 1):
                monitor.record(model, step)
                if step == STEPS:
                    break
                batch = rows[(4 * step + torch.arange(4)) % len(rows)]
                model(input_ids=batch, labels=batch).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                now = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save({**now, "step": step + 1}, "state.new")
                os.replace("state.new", state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each part")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which none is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="*", choices=list(SHARES), default=list(SHARES))
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(list(IMPORTED))
    warm = forks.Process(target=time.sleep, args=(0,))  # the imports take longest
    warm.start()
    warm.join()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before, seed {given.seed}")
    began = time.monotonic()
    draws = {part: random.Random(f"{given.seed} {part}") for part in SHARES}
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as name:
        folder = Path(name)
        if "sweep" in given.parts or "map" in given.parts:
            kills = given.kills if "sweep" in given.parts else 0
            seconds = 60 * given.minutes * SHARES["sweep"]
            work = sweep_part(folder, draws["sweep"], kills, seconds)
        if "map" in given.parts:
            seconds = 60 * given.minutes * SHARES["map"]
            map_part(folder, work, draws["map"], given.kills, seconds)
        if "monitor" in given.parts:
            seconds = 60 * given.minutes * SHARES["monitor"]
            monitor_part(folder, draws["monitor"], given.kills, seconds)
    print(f"\n{time.monotonic() - began:.0f} s in all, load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
