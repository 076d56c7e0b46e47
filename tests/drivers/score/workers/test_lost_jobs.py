"""Jobs of Slurm that are lost, silent or late, and answers that are damaged or somebody else's."""

from __future__ import annotations

import os
import pickle
import stat
import time

import pytest

from mlflow_modelmap import InputError, ScoringError
from mlflow_modelmap.drivers.score.workers import on_slurm
from mlflow_modelmap.drivers.score.workers.on_slurm import OnSlurm
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.drivers.score.workers.slurm_job import ALIVE, DONE, TAKEN, Silence, _goes_on

COMMANDS = {
    "sbatch": "[ -e {root}/busy ] && exit 1; echo Submitted batch job $(ls {root}/jobs | wc -l); "
    "touch {root}/jobs/$$",
    "sacct": "cat {root}/states 2>/dev/null || exit 1",
    "srun": "exit 1",
    "scancel": "exit 1",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm that takes jobs and starts none; ``states`` is what `sacct` says."""
    root = tmp_path / "cluster"
    (root / "jobs").mkdir(parents=True)
    for name, does in COMMANDS.items():
        path = root / name
        path.write_text(f"#!/bin/sh\n{does.format(root=root)}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{root}:{os.environ['PATH']}")
    monkeypatch.setattr(on_slurm, "_STATE_SECONDS", 0.0)
    return root


@pytest.fixture
def engine(slurm):
    made = OnSlurm(Workers(on="slurm", count=1), 1, shown=True)
    made.give(7, 0, "work")
    yield made
    made.close()
    assert not (made._folder / DONE).exists()


def test_an_answer_that_is_damaged_or_foreign_is_a_death(engine):
    ((number, name),) = engine._flying.items()
    path = engine._folder / DONE / name
    path.write_bytes(pickle.dumps(("1", "whole"))[:9])
    (died,) = engine.events(0.0)
    assert (died.number, died.worker) == (number, "of Slurm")
    assert died.why.startswith("its answer cannot be read: ")
    assert not path.exists()
    engine.give(7, 0, "work")
    path = engine._folder / DONE / engine._flying[7]
    path.write_bytes(b"cos\nsystem\n(S'touch unpickled'\ntR.")
    engine._owner += 1
    (died,) = engine.events(0.0)
    assert died.why == "its answer cannot be read: another user wrote it"
    assert not os.path.exists("unpickled")


def test_a_job_that_is_silent_and_unknown_is_taken_for_dead(engine, monkeypatch, capsys):
    monkeypatch.setattr(on_slurm, "_PATIENCE_SECONDS", -1.0)
    assert engine.events(0.0) == []
    assert "Slurm says nothing of job 0" in capsys.readouterr().err
    (engine._folder / TAKEN / f"0.{engine._flying[7]}").touch()
    assert engine.events(0.0) == []
    monkeypatch.setattr(on_slurm, "SILENT_SECONDS", -1.0)
    (died,) = engine.events(0.0)
    assert (died.number, died.why) == (7, "it gives no sign, and Slurm says nothing of it")
    assert list(engine._jobs) == ["1"]  # another one takes its place
    assert capsys.readouterr().err == ""


def test_a_slurm_that_is_too_busy_for_another_job_is_asked_again(slurm):
    made = OnSlurm(Workers(on="slurm", count=1), 1)
    try:
        job = made._jobs["0"]
        (slurm / "busy").touch()
        made._submit_again(1)
        made._jobs.clear()
        with pytest.raises(InputError, match="Slurm does not take the jobs"):
            made._submit_again(1)
        (slurm / "busy").unlink()
        made._submit_again(1)
        assert made._jobs.keys() == {"1"} != {job.job_id}
    finally:
        made.close()


def test_a_folder_that_is_taken_away_is_one_sentence(engine):
    for path in engine._folder.iterdir():
        if path.name in (ALIVE, "todo"):
            path.unlink() if path.is_file() else [*map(os.unlink, path.iterdir()), path.rmdir()]
    with pytest.raises(ScoringError, match="cannot be written any more"):
        engine.give(8, 0, "work")


def test_the_clock_of_another_machine_does_not_count(tmp_path):
    alive = tmp_path / ALIVE
    alive.touch()
    for skew in (-7200, 7200):
        os.utime(alive, (time.time() + skew,) * 2)
        sweep = Silence(alive)
        assert sweep.seconds() < 60
        assert _goes_on(tmp_path, sweep)
    sweep._since -= 1000
    assert not _goes_on(tmp_path, sweep)
    alive.touch()
    assert _goes_on(tmp_path, sweep)
    alive.unlink()
    assert not _goes_on(tmp_path, sweep)


def test_what_a_killed_sweep_left_goes_after_a_day(slurm, tmp_path):
    root = tmp_path / "meet"
    for name, days in (("sweep-old", 2), ("sweep-new", 0), ("notes", 9)):
        (root / name).mkdir(parents=True)
        (root / name / ALIVE).touch()
        os.utime(root / name / ALIVE, (time.time() - 86_400 * days,) * 2)
    OnSlurm(Workers(on="slurm", count=1, folder=str(root)), 1).close()
    assert sorted(path.name for path in root.iterdir()) == ["notes", "sweep-new"]
