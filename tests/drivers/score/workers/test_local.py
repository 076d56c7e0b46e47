"""A sweep by several processes: the same numbers, each death named, nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.sweep_status import sweep_status
from mlflow_modelmap.drivers.score.token_files import tokens_folder
from mlflow_modelmap.drivers.score.workers import local
from mlflow_modelmap.drivers.score.workers.local import LocalProcesses, _shares
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.machine.processes import number_lives
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs

TWO = Workers(count=2, threads=1)


@pytest.fixture
def pids(monkeypatch):
    """Of the workers that are started, as they say hello."""
    seen: list[int] = []
    real = LocalProcesses._event

    def event(self, worker, message):
        if message is not None and message[0] == "here":
            seen.append(message[1])
        return real(self, worker, message)

    monkeypatch.setattr(LocalProcesses, "_event", event)
    return seen


def vectors(experiment):
    matrix, points = read_matrix(select_runs([experiment]))
    return {point.name: row for point, row in zip(points, matrix.values, strict=True)}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.usefixtures("quick_workers")
def test_numbers_are_the_same_to_the_bit_whoever_scores_and_logs(
    store, family, texts, tiny_models, pids, all_runs
):
    models = [{"model": m, "name": f"m{i}"} for i, m in enumerate(family)]
    models.append({"model": str(tiny_models("gpt_neox", seed=5, scale=1e30)), "name": "broken"})
    plan = {"models": models, "name": "family"}
    told = []
    ways = {"alone": None, "driver": TWO, "worker": replace(TWO, log_from="worker")}
    for experiment, workers in ways.items():
        done = sweep(
            plan,
            texts=texts,
            experiment=experiment,
            workers=workers,
            progress=False,
            tell=told.append,
        )
        assert [row.state for row in done.rows] == ["scored"] * 3 + ["failed"]
        assert "not finite" in done.rows[3].error
        assert done.notices == ()
        status = sweep_status(done.run_id)
        assert (status.models, status.scored, status.skipped, status.failed) == (4, 3, 0, 1)
        assert (status.status, status.working, status.gone) == ("FAILED", (), None)
    assert len(told) == 12
    assert same(vectors("alone"), vectors("driver"))
    assert same(vectors("alone"), vectors("worker"))
    assert len(list(tokens_folder().glob("*.npz"))) == 1  # one tokenizer on one machine
    assert not any(number_lives(pid) for pid in pids)
    assert {run.info.status for run in all_runs()} == {"FINISHED", "FAILED"}
    found = sweep(plan, texts=texts, experiment="alone", workers=TWO, progress=False)
    assert [row.state for row in found.rows] == ["skipped"] * 3 + ["failed"]


@pytest.mark.usefixtures("quick_workers")
@pytest.mark.parametrize("log_from", ["driver", "worker"])
def test_a_worker_that_is_killed_costs_a_retry_and_is_named(
    store, family, texts, monkeypatch, all_runs, log_from
):
    killed = []
    real = LocalProcesses._event

    def event(self, worker, message):
        if message is not None and message[0] == "moved" and not killed:
            killed.append(message[1])
            os.kill(worker.pid, signal.SIGKILL)
            return None
        if message is not None and message[0] == "answer" and [message[1]] == killed[:1]:
            killed.append("too late")
        return real(self, worker, message)

    monkeypatch.setattr(LocalProcesses, "_event", event)
    long = texts_times(texts, 30)
    workers = replace(TWO, log_from=log_from)
    done = sweep({"models": family}, texts=long, workers=workers, progress=False)
    assert [row.state for row in done.rows] == ["scored"] * 3
    (death,) = done.notices
    assert death.startswith("Worker ")
    assert repr(done.rows[killed[0]].point) in death
    assert "killed" in death
    ends = [run.info.status for run in all_runs()]
    assert "RUNNING" not in ends
    assert ends.count("FAILED") == (1 if log_from == "worker" else 0)


def texts_times(texts, times):
    return type(texts)("many", tuple(f"{text} {i}" for i in range(times) for text in texts.texts))


@pytest.mark.usefixtures("quick_workers")
def test_a_model_that_kills_two_workers_fails_and_the_others_go_on(
    store, family, texts, monkeypatch
):
    real = LocalProcesses.give

    def give(self, number, need, work):
        real(self, number, need, work)
        if number == 1:
            (worker,) = [w for w in self._workers.values() if w.task == 1]
            worker.process.stdin.close()  # it ends, as one that is out of memory

    monkeypatch.setattr(LocalProcesses, "give", give)
    done = sweep({"models": family}, texts=texts, workers=TWO, progress=False)
    assert [row.state for row in done.rows] == ["scored", "failed", "scored"]
    assert "Two workers died" in done.rows[1].error
    assert len(done.notices) == 2


@pytest.mark.usefixtures("quick_workers")
@pytest.mark.parametrize("log_from", ["driver", "worker"])
def test_ctrl_c_leaves_nothing_running(store, family, texts, monkeypatch, pids, all_runs, log_from):
    monkeypatch.setattr(
        local.LocalProcesses,
        "events",
        _stopped_once_they_work(local.LocalProcesses.events),
    )
    workers, long = replace(TWO, log_from=log_from), texts_times(texts, 30)
    with pytest.raises(KeyboardInterrupt):
        sweep({"models": family}, texts=long, workers=workers, progress=False)
    assert pids
    deadline = time.monotonic() + 10
    while any(number_lives(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(number_lives(pid) for pid in pids)
    assert {run.info.status for run in all_runs()} == {"KILLED"}


def _stopped_once_they_work(real):
    def events(self, seconds):
        found = real(self, seconds)
        if found:
            raise KeyboardInterrupt
        return found

    return events


def test_a_plan_that_changes_meanwhile_is_told_of(store, tiny_model, text_file):
    plan = text_file.parent / "plan.yaml"
    plan.write_text(f"texts: {text_file.name}\nmodels: [{tiny_model}]\n")

    def change(row):
        plan.write_text(plan.read_text() + "name: another\n")

    done = sweep(plan, progress=False, tell=change)
    assert [row.state for row in done.rows] == ["scored"]
    (notice,) = done.notices
    assert notice.startswith(f"The plan {str(plan)!r} was changed meanwhile")
    assert sweep(plan, progress=False).notices == ()


def test_memory_decides_how_many_large_models_go_at_once(monkeypatch):
    engine = LocalProcesses(Workers(count=3, threads=1), on_cpu=True, keeps_devices=False)
    engine._memory = 100
    assert engine.free(500)  # alone it has all there is
    for place, need in ((0, 60), (1, 30)):
        engine._workers[place] = local._Worker(place, None, 0, task=place, need=need)
    assert engine.free(10)
    assert not engine.free(11)
    engine._workers[2] = local._Worker(2, None, 0, task=2, need=0)
    assert not engine.free(0)
    engine._folder.cleanup()


def test_gpus_are_shared_or_given_together():
    four = ["0", "1", "2", "3"]
    assert _shares(Workers(), four) == four
    assert _shares(Workers(gpus=0.5), four[:2]) == ["0", "1", "0", "1"]
    assert _shares(Workers(gpus=2), four) == ["0,1", "2,3"]
    assert _shares(Workers(gpus=0), four) == []
    with pytest.raises(InputError, match="8 GPUs a worker are asked for, and this machine has 4"):
        _shares(Workers(gpus=8), four)
    with pytest.raises(InputError, match="this machine has none"):
        _shares(Workers(gpus=1), [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on": "spark"}, "There is no engine 'spark'"),
        ({"count": 0}, "workers is 0"),
        ({"log_from": "both"}, "must be driver or worker"),
        ({"ray_address": "auto"}, "ray_address goes with --on ray"),
        ({"on": "ray", "partition": "gpu"}, "partition goes with --on slurm"),
        ({"gpus": 1.5}, "must be a whole number"),
        ({"gpus": float("nan")}, "gpus is nan"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, said):
    with pytest.raises(InputError, match=said):
        Workers(**options).checked()


@pytest.mark.parametrize("on", ["ray", "slurm"])
def test_an_engine_that_is_not_installed_is_named_with_its_extra(on, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"install mlflow-modelmap\[{on}\]"):
        Workers(on=on).checked()


def test_a_status_of_what_is_no_sweep_is_refused(store):
    with mlflow.start_run() as run:
        pass
    with pytest.raises(InputError, match="is no sweep"):
        sweep_status(run.info.run_id)


@pytest.mark.parametrize(
    "said",
    [
        '{"models": NaN, "failed": NaN, "skipped": -1}',
        '{"seconds_left": Infinity, "tokens_per_second": 1e999}',
        f'{{"models": {"9" * 400}, "tokens_per_second": {"9" * 400}}}',
        '{"models": "3", "workers": 4, "failed": 1.5, "seconds_left": -5}',
        '{"at_work": {"a": 1}}',
        '{"at_work": [1, null, ["b"]]}',
    ],
)
def test_a_status_believes_no_nonsense(store, said, capsys):
    with mlflow.start_run(run_name="a \x1b[31msweep\nand more") as run:
        mlflow.set_tags({"modelmap.kind": "sweep", "modelmap.progress": said})
        with pytest.raises(SystemExit) as ended:
            main(["sweep", "--status", run.info.run_id])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "a [31msweep and more (RUNNING): 0 scored, 0 failed.\n"
