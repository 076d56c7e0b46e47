"""Killed at random moments and started again: what is lost, half-done or done twice.

Three pieces of work are killed (SIGKILL, the whole process group) at moments drawn from a seed, and
the same command is started again each time until it is done: a sweep of 30 tiny checkpoints, a map
of their scores, and a training that is monitored in a loop of its own. Each is first done without a
kill, to compare with: every vector must be the same to the bit.

    python benchmarks/kills.py                      about 8 minutes on two idle cores
    python benchmarks/kills.py --kills 3 --parts sweep

A part whose time is over is killed no more: the table says how many kills there were.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
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
SHARES = {"sweep": 0.45, "map": 0.3, "monitor": 0.25}
"""Of the time for all, how much each part may take."""
EXPERIMENT = "killed"


class Work:
    """One command over a store in a folder of its own, and how its process ended each time."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder, self.command = folder, [sys.executable, *command]
        folder.mkdir(exist_ok=True)
        self.store = f"sqlite:///{folder / 'mlflow.db'}"
        self.failed = 0
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
            "MLFLOW_TRACKING_URI": self.store,
            "MLFLOW_EXPERIMENT_NAME": EXPERIMENT,
            "MLFLOW_MODELMAP_SPOOL": str(folder / "spool"),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        }
        (folder / "tmp").mkdir(exist_ok=True)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self) -> tuple[float, float]:
        """To the end, which must be a good one: seconds until it first writes, and from there."""
        before = time.monotonic()
        process = self.start()
        first = self._until_it_writes(process)
        if process.wait(timeout=600):
            raise SystemExit((self.folder / "log").read_text(errors="replace")[-3000:])
        return first - before, time.monotonic() - first

    def killed(self, after: float, sooner: bool) -> bool:
        """Start and kill; whether it was still there to be killed.

        So many seconds after it first writes into its store or, where it is to be sooner, after
        its start.
        """
        process = self.start()
        if not sooner:
            self._until_it_writes(process)
        until = time.monotonic() + after
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.005)
        alive = process.poll() is None
        if alive:
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() not in (0, -signal.SIGKILL):
            self.failed += 1
            print((self.folder / "log").read_text(errors="replace")[-1000:], file=sys.stderr)
        return alive

    def _until_it_writes(self, process: subprocess.Popen[bytes]) -> float:
        before = self._written()
        while process.poll() is None and self._written() == before:
            time.sleep(0.005)
        return time.monotonic()

    def _written(self) -> tuple[int, ...]:
        paths = [self.folder / f"mlflow.db{end}" for end in ("", "-wal")]
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)

    def clean(self, *options: str) -> str:
        """What `modelmap clean` says."""
        command = [sys.executable, "-m", "mlflow_modelmap", "clean", "--json", *options]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300
        )
        return done.stdout if done.returncode == 0 else ""


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
    work: Work, draws: random.Random, kills: int, span: float, startup: float, seconds: float,
    after_each: Callable[[], None],
) -> int:  # fmt: skip
    """Kill and start again; how many kills there were."""
    done, until = 0, time.monotonic() + seconds
    for _ in range(3 * kills):
        if done == kills or time.monotonic() > until:
            break
        sooner = draws.random() < 0.15
        after = draws.uniform(0, startup if sooner else span)
        if work.killed(after, sooner):
            done += 1
            after_each()
    return done


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
    command = ["-m", "mlflow_modelmap", "sweep", str(folder / "plan.json")]
    whole = Work(folder / "whole", command)
    startup, took = whole.run()
    expected = vectors(whole.store, [run.info.run_id for run in runs(whole.store, "score")])
    work = Work(folder / "attacked", command)
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
    count = attack(work, draws, kills, 3 * took / MODELS, startup, seconds, after_each)
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
    table = Table(f"A sweep of {MODELS} checkpoints ({startup:.0f} s to start, then {took:.0f} s)")
    table.say(count, "kills")
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

    work = Work(store_of.folder, ["-m", "mlflow_modelmap", "map", "--experiment", EXPERIMENT])
    work.clean("--yes")  # what the sweep left is counted there
    others = running(work.store)
    startup, took = work.run()
    (first,) = runs(work.store, "map")
    mlflow.set_tracking_uri(work.store)
    expected = load_map(first.info.run_id).kl.to_numpy()
    count = attack(work, draws, kills, took, startup, seconds, lambda: None)
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
    table = Table(f"A map of them ({startup:.0f} s to start, then {took:.0f} s)")
    table.say(count, "kills")
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
    command = [os.path.abspath(__file__), "--child", str(folder / "start")]
    whole = Work(folder / "whole training", command)
    startup, took = whole.run()
    (run,) = runs(whole.store, "monitor")
    expected = vectors(whole.store, [run.info.run_id])
    work = Work(folder / "attacked training", command)
    kept: list[dict[Any, np.ndarray]] = []
    lost = 0

    def after_each() -> None:
        nonlocal lost
        found = runs(work.store, "monitor")
        now = vectors(work.store, [of.info.run_id for of in found])
        if kept:
            lost += len(kept[-1].keys() - now.keys())
        kept.append(now)

    count = attack(work, draws, kills, 3 * took / STEPS, startup, seconds, after_each)
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
    table = Table(f"A monitored training ({startup:.0f} s to start, then {took:.0f} s)")
    table.say(count, "kills")
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
    parser.add_argument("--minutes", type=float, default=8.0, help="after which none is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="*", choices=list(SHARES), default=list(SHARES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        train(given.child)
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
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
