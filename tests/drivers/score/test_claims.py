"""Two that want one score: it is made once, and a crash of one does not hold off the other."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pytest

from mlflow_modelmap import score
from mlflow_modelmap.drivers.score import claims
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.machine.processes import this_process
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import forking
from tests.killed import HELD_UP, working

AT_A_MODEL = """
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.scoring.engine import score_texts as room
real, calls = room.score_texts, []
def slowly(*a, **k):
    calls.append(1)
    if len(calls) == int(sys.argv[2]):
        print("here", flush=True)
        if sys.argv[3] == "stay":
            time.sleep(600)
        time.sleep(float(sys.argv[3]))
    return real(*a, **k)
room.score_texts = slowly
sweep(sys.argv[1], progress=False)
"""


@pytest.fixture
def plan(tiny_models, text_file):
    path = text_file.parent / "plan.yaml"
    models = [str(tiny_models("gpt_neox", seed=seed)) for seed in range(3)]
    path.write_text(f"texts: {text_file.name}\nmodels: {json.dumps(models)}\n")
    return path


@pytest.mark.slow
def test_what_another_sweep_scores_comes_last_and_is_scored_once(store, plan, all_runs, capfd):
    with working(AT_A_MODEL, str(plan), "1", "6") as first:
        rest = sweep(plan)
        assert first.wait(timeout=120) == 0
    assert rest.rows[0].state == "skipped"
    runs = [run for run in all_runs() if run.data.tags["modelmap.kind"] == "score"]
    assert Counter(run.info.status for run in runs) == {"FINISHED": 3}
    assert len({run.data.tags["modelmap.identity"] for run in runs}) == 3
    assert f"Process {first.pid} on " in capfd.readouterr().err


def test_a_crash_ends_its_claim_and_a_restart_ends_what_it_left(store, plan, all_runs):
    with working(AT_A_MODEL, str(plan), "2", "stay") as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert [run.info.status for run in all_runs()] == ["RUNNING", "FINISHED", "RUNNING"]
        rest = sweep(plan, progress=False)
    assert [row.state for row in rest.rows] == ["skipped", "scored", "scored"]
    ended = all_runs()[:3]
    assert [run.info.status for run in ended] == ["KILLED", "FINISHED", "KILLED"]
    assert "is gone" in ended[0].data.tags["modelmap.error"]


def test_short_models_are_not_looked_for_until_another_process_is_met(
    store, tiny_models, texts, all_runs, monkeypatch
):
    """A plan for which the store is read at once: each claim looks, and that is enough."""
    monkeypatch.setattr("mlflow_modelmap.drivers.score.sweep.FEW", 0)
    monkeypatch.setattr("mlflow_modelmap.drivers.score.alone.SHORT_SECONDS", 600)
    models = [str(tiny_models("gpt_neox", seed=seed)) for seed in range(4)]
    looks, here = [], []

    def counted(self, *args, real=mlflow.MlflowClient.search_runs, **kwargs):
        looks.append("modelmap.identity" in str(args) + str(kwargs))
        return real(self, *args, **kwargs)

    def tell(row):
        here.append(sum(looks))
        looks.clear()
        if len(here) == 2:
            score(models[2], texts, progress=False)
            looks.clear()

    monkeypatch.setattr(mlflow.MlflowClient, "search_runs", counted)
    level = logging.getLogger("transformers").level
    done = sweep({"models": models}, texts=texts, progress=False, tell=tell)
    assert [row.state for row in done.rows] == ["scored", "scored", "skipped", "scored"]
    # The first is looked for and claimed, the second claimed; the third is claimed in vain, so that
    # the fourth is looked for and claimed; then the third is looked for.
    assert here == [2, 1, 3, 1]
    assert logging.getLogger("transformers").level == level
    runs = [run for run in all_runs() if run.data.tags["modelmap.kind"] == "score"]
    assert Counter(run.info.status for run in runs) == {"FINISHED": 4}
    assert len({run.data.tags["modelmap.identity"] for run in runs}) == 4


@pytest.mark.slow
def test_two_sweeps_that_start_together_score_everything_once(store, plan, all_runs):
    command = ("-m", "mlflow_modelmap", "sweep", plan, "--quiet")
    both = [forking.Process(*command) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    runs = [run for run in all_runs() if run.data.tags["modelmap.kind"] == "score"]
    assert Counter(run.info.status for run in runs) == {"FINISHED": 3}


def test_a_score_waits_for_the_sweep_that_makes_it(store, plan, texts, tiny_models, all_runs):
    model = str(tiny_models("gpt_neox", seed=0))
    with working(AT_A_MODEL, str(plan), "1", "3") as first:
        found = score(model, plan.parent / "short texts.json", progress=False)
        assert found.skipped
        assert mlflow.get_run(found.run_id).data.tags["mlflow.parentRunId"]
        first.kill()


@pytest.mark.parametrize(("goes", "look"), [(False, 0.1), (True, 0.1), (True, 2.2), (True, 30)])
def test_the_earlier_of_two_claims_waits_for_the_later_to_go(
    store, tiny_model, texts, monkeypatch, goes, look
):
    """The later one may have looked before it could see the earlier one, and is scoring then."""
    client = mlflow.MlflowClient(store)
    prepared = prepare(ScoreRequest(reference=ModelReference.parse(tiny_model)), texts)
    theirs = replace(this_process(), pid=os.getppid(), started="")
    tags = {**prepared.tags, "modelmap.kind": "score", "modelmap.process": theirs.written()}

    def meanwhile(seconds):
        clock.append(seconds)
        if goes and len(clock) == 2 * 2:  # the later one's own look lasts as long
            client.delete_run(later.info.run_id)

    def slowly(*asked):
        found = attempts(*asked)
        clock.append(look)
        return found

    attempts, clock = claims.attempts, []
    monkeypatch.setattr(claims, "attempts", slowly)
    clocks = SimpleNamespace(monotonic=lambda: 5 + sum(clock), sleep=meanwhile)
    monkeypatch.setattr(claims, "time", clocks)
    held = None
    try:
        with open_run("score", store=client, name="x", tags=prepared.tags) as earlier:
            start = client.get_run(earlier.run_id).info.start_time
            later = client.create_run(earlier.experiment_id, start_time=start + 5, tags=tags)
            claims.claim(prepared, earlier)
    except claims.Held as by:
        held = by.run.info.run_id
    left = {run.info.run_id for run in client.search_runs([earlier.experiment_id])}
    assert left == {earlier.run_id if goes else later.info.run_id}
    assert held == (None if goes else later.info.run_id)


KILLED_AT_THE_END = (
    HELD_UP
    + """
import signal
from mlflow_modelmap import score
from mlflow_modelmap.tracking.runs import end_run
end_run._terminate = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
score(sys.argv[1], sys.argv[2], progress=False)
"""
)


def test_a_kill_just_before_the_run_is_finished_costs_no_scoring(
    store, tiny_model, text_file, spool_folder, monkeypatch, all_runs
):
    done = forking.run("-c", KILLED_AT_THE_END, tiny_model, text_file)
    assert done.returncode == -signal.SIGKILL
    assert len(list(spool_folder.glob("*.parquet"))) == 1
    from mlflow_modelmap.scoring.engine import score_texts as room

    monkeypatch.setattr(room, "score_texts", None)
    made = score(tiny_model, text_file, progress=False)
    assert not made.skipped
    assert [run.info.status for run in all_runs()] == ["KILLED", "FINISHED"]
    assert list(spool_folder.iterdir()) == []


def test_a_vector_in_a_run_that_somebody_else_ends_is_kept_a_day(
    store, tiny_model, texts, spool_folder
):
    with mlflow.start_run() as given:
        score(tiny_model, texts, run_id=given.info.run_id, progress=False)
        (kept,) = spool_folder.iterdir()
        assert kept.name.endswith(".logged")
        os.utime(kept, (0, 0))
    with mlflow.start_run() as given:
        score(tiny_model, texts, run_id=given.info.run_id, name="else", again=True, progress=False)
    (kept,) = spool_folder.iterdir()
    assert kept.stat().st_mtime > 0


@pytest.mark.parametrize("damage", ["cut short", "fewer rows", "gone"])
def test_an_unreadable_vector_is_no_score(store, tiny_models, texts, damage, all_runs):
    import pyarrow.parquet as pq

    from mlflow_modelmap import build_map
    from mlflow_modelmap.tracking.runs.artifacts import local_path

    models = [str(tiny_models("gpt_neox", seed=seed)) for seed in range(3)]
    first = sweep({"models": models}, texts=texts, progress=False)
    bad = first.rows[1].run_id
    root = local_path(mlflow.get_run(bad).info.artifact_uri)
    path = root / "modelmap" / "log_likelihoods.parquet"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "fewer rows":
        pq.write_table(pq.read_table(path).slice(0, 20), path)
    else:
        path.unlink()
    if damage != "fewer rows":
        made = build_map(["test"])
        assert len(made.points) == 2
        (notice,) = [n for n in made.notices if bad in n]
        assert notice.startswith(f"Left out run {bad} ('{first.rows[1].point}'), which is damaged")
        assert f"`modelmap score {models[1]} --texts 'short texts' --precision float32" in notice
        assert "--again` does" in notice
    again = sweep({"models": models}, texts=texts, progress=False)
    assert [row.state for row in again.rows] == ["skipped", "scored", "skipped"]
    matrix, _ = read_matrix(select_runs(["test"]))
    assert len(matrix.values) == 3
    assert score(models[1], texts, progress=False).run_id == again.rows[1].run_id


FULL_DISK = """
import resource, signal
from mlflow_modelmap.drivers.score import sweep as room
from mlflow_modelmap.surfaces.cli import main
real = room.log_rows
def on_a_full_disk(*a):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    return real(*a)
room.log_rows = on_a_full_disk
main(["sweep", sys.argv[1]])
"""


def test_failures_are_told_although_the_disk_is_full(store, tiny_model, text_file, tmp_path):
    (tmp_path / "gone").mkdir()
    plan = text_file.parent / "plan.yaml"
    plan.write_text(f"texts: {text_file.name}\nmodels: [{tmp_path / 'gone'}, {tiny_model}]\n")
    done = forking.run("-c", HELD_UP + FULL_DISK, plan)
    assert done.returncode == 1
    assert "1 scored, 0 scored before, 1 failed." in done.stdout
    told = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert told[0].startswith("Error: gone: ")
    assert told[1].startswith("Error: What became of the models could not be logged (")
    assert "Traceback" not in done.stderr


GIVEN_A_RUN = """
import sys, time
from pathlib import Path
import mlflow
from mlflow_modelmap.drivers.score import score as room
real, calls = room.look, []
def look(*a, **k):
    there = real(*a, **k)
    calls.append(1)
    if len(calls) == 1:
        print("here", flush=True)
        while not Path(sys.argv[4]).exists():
            time.sleep(0.01)
    return there
room.look = look
with mlflow.start_run(run_id=sys.argv[3]):
    room.score(sys.argv[1], sys.argv[2], run_id=sys.argv[3], progress=False)
"""


def test_two_that_were_given_runs_score_once(store, tiny_model, text_file, tmp_path, all_runs):
    """Both have looked, and neither has claimed yet."""
    client, go = mlflow.MlflowClient(store), tmp_path / "go"
    where = client.get_experiment_by_name("test").experiment_id
    ids = [client.create_run(where).info.run_id for _ in range(2)]
    given = [(GIVEN_A_RUN, str(tiny_model), str(text_file), of, str(go)) for of in ids]
    with working(*given[0]) as one, working(*given[1]) as other:
        go.touch()
        for process in (one, other):
            assert process.wait(timeout=120) == 0, process.stderr and process.stderr.read()
    runs = {run.data.tags["modelmap.kind"]: run for run in all_runs()}
    assert set(runs) == {"score", "skipped"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["skipped"].data.tags["modelmap.same_as"] == runs["score"].info.run_id
    assert runs["skipped"].data.metrics == {}
    assert "modelmap.identity" not in runs["skipped"].data.tags
