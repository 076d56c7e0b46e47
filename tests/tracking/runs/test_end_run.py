"""How a run ends under real signals, and under a database that somebody else holds."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator

import mlflow
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from mlflow_modelmap import TextSet, TrackingError
from mlflow_modelmap.tracking.runs.monitor_run import open_monitor_run
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from tests.killed import working

COMMAND = """
from mlflow_modelmap.drivers.process import stopping
from mlflow_modelmap.tracking.runs import end_run
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.store.client import client
real = end_run._terminate
def slowly(*a):
    print("here: ending", flush=True)
    time.sleep(1.0)
    return real(*a)
end_run._terminate = slowly
store = client()
try:
    with stopping.stoppable():
        with open_run("sweep", store=store, name="parent"):
            with open_run("score", store=store, name="child"):
                here()
except KeyboardInterrupt:
    sys.exit(stopping.exit_code())
"""


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGHUP], 129),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGTERM, signal.SIGTERM], 143),
        ([signal.SIGHUP, signal.SIGTERM], 129),
    ],
)
def test_a_second_signal_waits_until_the_runs_are_ended(store, all_runs, signals, code):
    first, *others = signals
    with working(COMMAND) as process:
        process.send_signal(first)
        for another in others:
            assert "ending" in process.stdout.readline()
            process.send_signal(another)
        assert process.wait(timeout=60) == code
    runs = all_runs()
    assert [run.info.status for run in runs] == ["KILLED", "KILLED"]
    assert {run.data.tags["modelmap.error"] for run in runs} == {"Stopped before the end."}


def test_what_was_taken_for_left_over_and_is_logged_after_all_is_readable(store, monkeypatch):
    """A model that loads for long gives no sign, and another machine ends its run."""
    client = mlflow.MlflowClient(store)
    monkeypatch.setattr("mlflow_modelmap.tracking.runs.end_run._LONG_SECONDS", 0.0)

    def ended(said: str, note: str):
        readable = []
        with open_run("score", store=client) as run:
            run.when_ended.append(lambda: readable.append(is_readable(client.get_run(run.run_id))))
            client.set_tag(run.run_id, "modelmap.error", said)
            client.set_tag(run.run_id, "mlflow.note.content", note)
            client.set_terminated(run.run_id, "KILLED")
        tags = client.get_run(run.run_id).data.tags
        return readable, tags.get("modelmap.error"), tags.get("mlflow.note.content")

    left = "Stopped without a word: 'elsewhere' has given no sign of it since noon."
    assert ended(left, left) == ([True], None, None)
    assert ended(left, "mine") == ([True], None, "mine")
    assert ended("Refused.", "mine") == ([False], "Refused.", "mine")


def test_a_process_that_ignores_sighup_goes_on(store):
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + COMMAND
    with working(script) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None


@pytest.mark.parametrize("long", [60.0, 0.0])
def test_a_run_is_finished_once_a_locked_database_takes_it(store, tmp_path, monkeypatch, long):
    monkeypatch.setattr("mlflow_modelmap.tracking.runs.end_run._LONG_SECONDS", long)
    client = mlflow.MlflowClient(f"{store}?timeout=0.1")
    lock = sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)
    done = []
    with open_run("score", store=client) as run:
        run.when_ended.append(lambda: done.append(client.get_run(run.run_id).info.status))
        lock.execute("BEGIN EXCLUSIVE")
        threading.Timer(1.5, lock.rollback).start()
    assert done == ["FINISHED"]
    lock.close()


def test_a_training_s_end_waits_for_a_held_database_too(store, tmp_path):
    client = mlflow.MlflowClient(f"{store}?timeout=0.1")
    texts = TextSetDataset(TextSet("two", ("one", "another")))
    run = open_monitor_run(client, texts, name="training")
    lock = sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    threading.Timer(1.5, lock.rollback).start()
    run.end()
    assert client.get_run(run.run.run_id).info.status == "FINISHED"
    lock.close()


@pytest.fixture
def impatient() -> Iterator[None]:
    """MLflow lets sqlite wait 20 s for a lock; here it is a tenth of one."""

    def shorter(_connection, _cursor, statement, parameters, _context, _many):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", shorter, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorter)


def test_a_database_that_stays_locked_is_said_in_one_sentence(
    store, tmp_path, monkeypatch, impatient
):
    monkeypatch.setattr("mlflow_modelmap.tracking.runs.end_run._PATIENCE_SECONDS", 1.0)
    client = mlflow.MlflowClient(f"{store}?timeout=0.1")
    lock = sqlite3.connect(tmp_path / "mlflow.db")
    done = []

    def work(held_at):
        with open_run("score", store=client, name="mine") as run:
            run.when_ended.append(lambda: done.append(1))
            lock.execute("BEGIN EXCLUSIVE")
            if held_at == "middle":
                run.log(metrics={"a": 1.0})

    for held_at, said in (
        ("end", "is logged, but cannot be ended"),
        ("middle", "cannot be logged"),
    ):
        with pytest.raises(TrackingError, match=said) as caught:
            work(held_at)
        lock.rollback()
        assert "database is locked" in str(caught.value)
        assert "SQL:" not in str(caught.value)
        assert str(caught.value).count("\n") == 0
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(
        TrackingError, match=r"A run cannot be made|The current experiment cannot be found"
    ):
        open_run("score", store=client).__enter__()
    assert done == []
    lock.close()
