"""Real processes are killed, and what they leave is found, named and ended - nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import pytest

from mlflow_modelmap import build_map, score
from mlflow_modelmap.drivers.score import spool
from mlflow_modelmap.machine.folders import left_folders, temporary_folder
from mlflow_modelmap.surfaces.cli import main
from tests.killed import working
from tests.scored import made_up, write_score

WORK = """
from pathlib import Path
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.store.client import client
with open_run("score", store=client(), name=sys.argv[1]), temporary_folder() as folder:
    (Path(folder) / "x").write_text("x")
    here()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


def call(capfd, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capfd.readouterr()
    return ended.value.code, out, err


def test_what_a_killed_process_left_is_listed_then_ended_and_a_living_one_is_not(
    store, temporary, all_runs, capfd
):
    with working(WORK, "living"):
        with working(WORK, "killed") as killed:
            killed.kill()
            killed.wait()
        foreign = mlflow.MlflowClient().create_run("0").info.run_id
        (temporary / "modelmap-results").mkdir()
        code, out, _ = call(capfd, "clean", "--json")
        found = json.loads(out)["left"]
        assert code == 0
        assert [(one["what"], one["gone"]) for one in found] == [
            ("run", False),
            ("temporary folder", False),
        ]
        assert (found[0]["name"], found[0]["kind"]) == ("killed", "score")
        assert f"process {killed.pid} on" in found[0]["why"]
        code, out, _ = call(capfd, "clean")
        assert "2 left over; --yes ends and removes them." in out
        assert "RUNNING" in {run.info.status for run in all_runs()}
        code, out, _ = call(capfd, "clean", "--yes")
        assert (code, out.splitlines()[-1]) == (0, "2 ended or removed.")
        status = {run.info.run_name: run.info.status for run in all_runs()}
        assert (status["living"], status["killed"]) == ("RUNNING", "KILLED")
        assert mlflow.get_run(foreign).info.status == "RUNNING"
        assert len(list(temporary.glob("modelmap-*"))) == 2  # the living one's, and the user's
        assert call(capfd, "clean")[1] == "Nothing is left over.\n"


def test_a_map_names_left_overs_once_with_the_command(store, capfd):
    for index, row in enumerate(made_up(3)[0]):
        write_score(store, f"m{index}", row, made_up(3)[1])
    for name in ("one", "two"):
        with working(WORK, name) as killed:
            killed.kill()
    said = [n for n in build_map(["test"]).notices if "modelmap clean" in n]
    assert said == [
        "2 runs are left over by work that was killed, 'two', 'one'; `modelmap clean --yes` ends "
        "them."
    ]


def test_vectors_that_wait_stay_and_what_is_logged_or_half_written_goes(
    store, tiny_model, texts, spool_folder, capfd
):
    done = score(tiny_model, texts, progress=False)
    identity = mlflow.get_run(done.run_id).data.tags["modelmap.identity"]
    spool_folder.mkdir(exist_ok=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        f"{identity}.parquet": False,
        f"{'a' * 64}.parquet": True,
        "weights-0123.npz": True,
        f".{'b' * 64}.parquet.{gone.pid}": False,
        f".{'b' * 64}.parquet.{os.getpid()}": True,
        f"weights-0123.{gone.pid}.tmp": False,
    }
    for name in names:
        (spool_folder / name).write_bytes(b"x")
        os.utime(spool_folder / name, (time.time() - 600,) * 2)
    code, out, _ = call(capfd, "clean", "--yes")
    assert code == 0
    assert {path.name for path in spool_folder.iterdir()} == {
        n for n, kept in names.items() if kept
    }
    assert out.endswith("2 in the spool wait to be logged by the command that made them.\n")
    assert spool.partial() == []


def test_folders_of_another_machine_are_left_a_day(temporary):
    with temporary_folder() as own:
        assert left_folders() == []
        name = Path(own).name.split("-")
        name[3] = "0" * 8
        other = temporary / "-".join(name)
        other.mkdir()
        assert left_folders() == []
        os.utime(other, (0, 0))
        assert left_folders() == [other]
