"""Which runs are left over, and which hold others off: told by process, boot and heartbeat."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import mlflow
import pytest

from mlflow_modelmap.machine.processes import this_process
from mlflow_modelmap.tracking.runs import alive
from mlflow_modelmap.tracking.runs.left_overs import end_left_over, left_overs
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.select_runs import select_runs

ME = this_process()
GONE = replace(ME, pid=4_000_000)
RECYCLED = replace(ME, started="1")
ELSEWHERE = replace(ME, host="other", pid=1)
CONTAINER = replace(ME, space="another", pid=1)


def ago(minutes):
    return (datetime.now(timezone.utc) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


@pytest.fixture
def running(write_run, store):
    """A RUNNING run of a process; its start lies long ago."""

    def make(process, kind="score", **tags):
        written = {"process": process if isinstance(process, str) else process.written(), **tags}
        run_id = write_run("r", status="RUNNING", artifact=False, kind=kind, **written)
        return mlflow.get_run(run_id)

    return make


@pytest.mark.parametrize(
    ("process", "tags", "is_left", "holds"),
    [
        (GONE, {"heartbeat": 0}, "is gone", False),
        (RECYCLED, {"heartbeat": 0}, "is gone", False),
        (ELSEWHERE, {"heartbeat": 2}, None, True),
        (ELSEWHERE, {"heartbeat": 20}, "has given no sign", False),
        (ELSEWHERE, {"heartbeat": -600}, "has given no sign", False),
        (ELSEWHERE, {"heartbeat": "soon"}, "has given no sign", False),
        (CONTAINER, {"heartbeat": 2}, None, True),
        (CONTAINER, {"heartbeat": 20}, "has given no sign", False),
        (ELSEWHERE, {"heartbeat": 20, "kind": "monitor"}, None, False),
        (ELSEWHERE, {"heartbeat": 1500, "kind": "monitor"}, "has given no sign", False),
        ("no process", {}, None, False),
        ('{"pid": [1]}', {}, None, False),
        ("[" * 100_000, {}, None, False),
    ],
)
def test_a_run_is_judged_by_its_process_or_its_last_sign(running, process, tags, is_left, holds):
    if isinstance(process, str):
        process = process[:5000]
    # Minutes ago: from now, not from when the tests were collected.
    run = running(process, **{k: ago(v) if isinstance(v, int) else v for k, v in tags.items()})
    why = alive.left_over(run)
    assert (why is None) if is_left is None else (is_left in why)
    assert alive.is_claim(run) is holds


def test_a_living_process_is_never_left_over_but_holds_others_off_only_while_it_works(
    store, all_runs
):
    client = mlflow.MlflowClient(store)
    with open_run("score", store=client) as run:
        assert alive.is_claim(client.get_run(run.run_id))
        assert alive.left_over(client.get_run(run.run_id)) is None
        client.delete_run(run.run_id)
        assert not alive.is_claim(client.get_run(run.run_id))
        client.restore_run(run.run_id)
        alive.end(run.run_id)
        assert not alive.is_claim(client.get_run(run.run_id))
        assert alive.left_over(client.get_run(run.run_id)) is None


def test_a_run_says_that_it_goes_on_now_and_then(store, monkeypatch):
    client = mlflow.MlflowClient(store)
    with open_run("score", store=client) as run:
        alive.beat()
        assert "modelmap.heartbeat" not in client.get_run(run.run_id).data.tags
        monkeypatch.setattr(alive, "BEAT_SECONDS", 0.0)
        alive.beat()
        assert "modelmap.heartbeat" in client.get_run(run.run_id).data.tags
        assert abs(alive.last_sign(client.get_run(run.run_id)) - time.time()) < 60
        client.delete_tag(run.run_id, "modelmap.heartbeat")
    alive.beat()
    assert "modelmap.heartbeat" not in client.get_run(run.run_id).data.tags


def test_a_run_that_was_given_is_let_go_when_our_part_is_done(store):
    client = mlflow.MlflowClient(store)
    with mlflow.start_run() as given:
        with open_run("score", store=client, run_id=given.info.run_id):
            tags = client.get_run(given.info.run_id).data.tags
            assert json.loads(tags["modelmap.process"])["pid"] == ME.pid
        assert "modelmap.process" not in client.get_run(given.info.run_id).data.tags


def test_left_overs_are_named_once_and_ended_with_their_reason(running, write_run, store):
    client = mlflow.MlflowClient(store)
    left = running(GONE, heartbeat=ago(3)).info.run_id
    other = running(ELSEWHERE, heartbeat=ago(1)).info.run_id
    foreign = client.create_run("0", tags={"modelmap.process": GONE.written()}).info.run_id
    write_run("good")
    notices: list[str] = []
    select_runs(["test"], notices=notices)
    assert notices == [
        "Left out 2 unfinished runs: 2 running.",
        "1 run is left over by work that was killed, 'r'; `modelmap clean --yes` ends it.",
    ]
    where = [e.experiment_id for e in client.search_experiments()]
    assert [run.info.run_id for run, _ in left_overs(where, client)] == [left]
    assert end_left_over(left, client)
    assert not end_left_over(left, client)
    assert not end_left_over(other, client)
    ended = client.get_run(left)
    assert ended.info.status == "KILLED"
    assert abs(ended.info.end_time / 1000 - (time.time() - 180)) < 60
    assert ended.data.tags["modelmap.error"].startswith("Stopped without a word: its process 4000")
    assert [client.get_run(i).info.status for i in (other, foreign)] == ["RUNNING"] * 2
