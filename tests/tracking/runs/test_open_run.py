"""Which run a piece of work logs into, and how that run ends."""

from __future__ import annotations

import json
import math

import mlflow
import pytest

from mlflow_modelmap import InputError, ScoringError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.log_values import metric_name
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.store.failures import despite_races


@pytest.fixture
def client(store):
    return mlflow.MlflowClient(store)


def test_a_new_run_is_made_in_the_current_experiment_and_finished(client):
    with open_run("score", store=client, name="mine", tags={"modelmap.step": 3}) as run:
        assert client.get_run(run.run_id).info.status == "RUNNING"
    there = client.get_run(run.run_id)
    assert (there.info.status, there.info.run_name) == ("FINISHED", "mine")
    assert there.data.tags["modelmap.kind"] == "score"
    assert there.data.tags["modelmap.schema"] == schema.SCHEMA_VERSION
    assert there.data.tags["modelmap.step"] == "3"
    assert there.info.experiment_id == client.get_experiment_by_name("test").experiment_id
    assert there.data.tags["mlflow.source.type"] == "LOCAL"


def test_an_experiment_by_name_is_made(client):
    with open_run("map", store=client, experiment="other") as run:
        pass
    assert run.experiment_id == client.get_experiment_by_name("other").experiment_id


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ScoringError("Out of memory."), "FAILED", "Out of memory."),
        (ValueError("odd"), "FAILED", "ValueError: odd"),
        (KeyboardInterrupt(), "KILLED", "Stopped before the end."),
        (TrackingError("no http://me:secret@host"), "FAILED", "no http://host"),
    ],
)
def test_a_failure_ends_the_run_with_its_reason(client, error, status, reason):
    with pytest.raises(type(error)), open_run("score", store=client) as run:
        raise error
    there = client.get_run(run.run_id)
    assert there.info.status == status
    assert there.data.tags["modelmap.error"] == reason
    assert there.data.tags["mlflow.note.content"] == reason


def test_inside_an_active_run_the_work_is_a_nested_child(client):
    with mlflow.start_run() as outer:
        assert not joins(client)
        assert target_experiment(client) == outer.info.experiment_id
        with open_run("score", store=client) as run:
            pass
        assert mlflow.active_run().info.run_id == outer.info.run_id
    child = client.get_run(run.run_id)
    assert child.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert child.info.status == "FINISHED"
    assert "modelmap.kind" not in client.get_run(outer.info.run_id).data.tags


def test_a_given_run_is_joined_and_left_open(client):
    given = client.create_run("0").info.run_id
    assert joins(client, given)
    with open_run("score", store=client, run_id=given, name="new name") as run:
        assert run.run_id == given
        assert not run.owned
    there = client.get_run(given)
    assert (there.info.status, there.info.run_name) == ("RUNNING", "new name")


def test_a_given_run_fails_with_the_work(client):
    given = client.create_run("0").info.run_id
    with pytest.raises(ScoringError), open_run("score", store=client, run_id=given):
        raise ScoringError("No.")
    assert client.get_run(given).info.status == "FAILED"


def test_the_project_s_run_is_joined_once_and_then_gets_children(client, monkeypatch):
    project = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project)
    assert joins(client)
    assert target_experiment(client) == "0"
    with open_run("score", store=client) as run:
        assert run.run_id == project
    assert client.get_run(project).info.status == "RUNNING"
    assert not joins(client)
    with open_run("map", store=client) as second:
        pass
    there = client.get_run(second.run_id)
    assert there.data.tags["mlflow.parentRunId"] == project
    assert (there.info.experiment_id, there.info.status) == ("0", "FINISHED")


@pytest.mark.parametrize(
    ("tags", "status", "experiment", "said"),
    [
        ({"modelmap.kind": "map"}, None, None, "already holds a map"),
        ({}, "FINISHED", None, r"has ended \(FINISHED\)"),
        ({}, None, "elsewhere", "is not in the experiment 'elsewhere'"),
    ],
)
def test_a_given_run_that_cannot_be_joined_is_refused(client, tags, status, experiment, said):
    given = client.create_run("0", tags=tags).info.run_id
    if status:
        client.set_terminated(given, status)
    with (
        pytest.raises(InputError, match=said),
        open_run("score", store=client, run_id=given, experiment=experiment),
    ):
        pass


def test_a_given_run_that_is_not_there_is_refused(client):
    with (
        pytest.raises(InputError, match="There is no run 'nope'"),
        open_run("score", store=client, run_id="nope"),
    ):
        pass


def test_params_carry_our_prefix_and_never_meet_those_of_the_project(client):
    given = client.create_run("0").info.run_id
    client.log_param(given, "precision", "auto")
    with open_run("score", store=client, run_id=given) as run:
        run.log(params={"precision": "float32", "flag": True, "nothing": None})
        run.log(params={"precision": "float32"})
        with pytest.raises(TrackingError, match=r"holds the param modelmap\.precision"):
            run.log(params={"precision": "int8"})
    assert client.get_run(given).data.params == {
        "precision": "auto",
        "modelmap.precision": "float32",
        "modelmap.flag": "true",
    }


def test_a_long_value_is_shortened_visibly_and_kept_whole(client):
    long = "x" * 7000 + "end"
    with open_run("score", store=client) as run:
        run.log(params={"long": long}, tags={"modelmap.long": 2 * long})
    there = client.get_run(run.run_id)
    shown = there.data.params["modelmap.long"]
    assert len(shown) == 6000
    assert shown.endswith("(7003 characters; whole in modelmap/long_values.json)")
    assert len(there.data.tags["modelmap.long"]) == 8000
    path = local_path(there.info.artifact_uri) / "modelmap" / "long_values.json"
    assert json.loads(path.read_text()) == {
        "param modelmap.long": long,
        "tag modelmap.long": 2 * long,
    }


def test_metrics_that_are_not_finite_are_left_out_and_named(client):
    with open_run("map", store=client) as run:
        run.log(metrics={"modelmap/a": 1.5, "modelmap/b": math.nan, "modelmap/c": -math.inf})
        run.log_series([("modelmap/d", step, step / 2) for step in range(3)])
        run.log_series([("modelmap/d", 3, math.nan)])
    there = client.get_run(run.run_id)
    assert there.data.metrics == {"modelmap/a": 1.5, "modelmap/d": 1.0}
    assert there.data.tags["modelmap.not_finite"] == "modelmap/b, modelmap/c"
    history = client.get_metric_history(run.run_id, "modelmap/d")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (1, 0.5), (2, 1.0)]


def test_many_entities_go_out_in_pieces(client):
    with open_run("map", store=client) as run:
        run.log(
            params={f"p{i}": i for i in range(150)},
            tags={f"t{i}": i for i in range(150)},
            metrics={f"m{i}": i for i in range(1700)},
        )
    data = client.get_run(run.run_id).data
    assert len(data.params) == 150
    assert len(data.metrics) == 1700
    assert sum(name.startswith("t") for name in data.tags) == 150


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("modelmap/kl pythia-70m@step3", "modelmap/kl pythia-70m_step3"),
        ("a//b", "a/b"),
        ("/a:b", "a_b"),
        ("x" * 300, "x" * 250),
    ],
)
def test_metric_names_become_what_mlflow_takes(client, name, clean):
    assert metric_name(name) == clean
    with open_run("map", store=client) as run:
        run.log(metrics={name: 1.0})
    assert client.get_run(run.run_id).data.metrics == {clean: 1.0}


def test_metrics_whose_names_mlflow_or_mysql_cannot_tell_apart_are_kept_apart(client):
    with open_run("map", store=client) as run:
        run.log(metrics={"kl/Tiny": 1.0, "kl/tiny": 2.0, "kl/α": 3.0, "kl/β": 4.0})
        run.log_series([("kl/tiny", 1, 5.0), ("kl/Tiny", 1, 6.0), ("x" * 300, 0, 7.0)])
        run.log(metrics={"x" * 299 + "y": 8.0})
    assert client.get_run(run.run_id).data.metrics == {
        "kl/Tiny": 6.0,
        "kl/tiny 2": 5.0,
        "kl/_": 3.0,
        "kl/_ 2": 4.0,
        "x" * 250: 7.0,
        "x" * 240 + " 2": 8.0,
    }


def test_a_run_s_name_is_no_longer_than_database_servers_take(client):
    name = "m" * 300 + " step 3"
    kept = "m" * 125 + "…" + "m" * 117 + " step 3"
    given = client.create_run("0").info.run_id
    with open_run("score", store=client, name=name) as made:
        pass
    with open_run("score", store=client, run_id=given, name=name) as joined:
        pass
    with open_run("score", store=client, name="short") as renamed:
        renamed.rename(name)
    for run in (made, joined, renamed):
        assert client.get_run(run.run_id).info.run_name == kept == run.name


def test_a_score_has_its_identity_from_its_first_moment(client, monkeypatch):
    """A kill between its making and its tags would leave a run that no sweep knows for its own."""
    made = client.create_run
    first = []

    def create_run(*args, **options):
        run = made(*args, **options)
        first.append(client.get_run(run.info.run_id).data.tags)
        return run

    monkeypatch.setattr(client, "create_run", create_run)
    tags = {"modelmap.identity": "abc", "modelmap.text_set": "def", "modelmap.step": 1}
    with open_run("score", store=client, tags=tags):
        pass
    assert (first[0]["modelmap.identity"], first[0]["modelmap.text_set"]) == ("abc", "def")
    assert {"modelmap.kind", "modelmap.process"} <= set(first[0])


def log_a_text_set_twice_at_once(client, texts):
    """MLflow looks for the text set, and the other writes it before this one does."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.models import SqlDataset

    dataset, happened = TextSetDataset(texts), []

    def overtake(*_):
        if not happened:
            happened.append(True)
            other.log_texts(dataset)

    with open_run("score", store=client) as one, open_run("score", store=client) as other:
        sqlalchemy.event.listen(SqlDataset, "before_insert", overtake)
        try:
            one.log_texts(dataset)
        finally:
            sqlalchemy.event.remove(SqlDataset, "before_insert", overtake)
    assert happened
    held = [client.get_run(run.run_id) for run in (one, other)]
    assert [run.info.status for run in held] == ["FINISHED", "FINISHED"]
    assert [len(run.inputs.dataset_inputs) for run in held] == [1, 1]
    assert len({run.inputs.dataset_inputs[0].dataset.digest for run in held}) == 1


def test_two_that_log_a_text_set_for_the_first_time_at_once_both_log_it(client, texts):
    log_a_text_set_twice_at_once(client, texts)


def test_what_is_no_race_is_asked_once(client):
    asked = []

    def refused():
        asked.append(1)
        client.log_param("0" * 32, "a", "b")

    with pytest.raises(mlflow.MlflowException):
        despite_races(refused)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        "(1213, 'Deadlock found when trying to get lock; try restarting transaction')",
        "(1020, \"Record has changed since last read in table 'datasets'\")",
    ],
)
def test_what_gave_way_to_another_writer_is_written_again(client, monkeypatch, texts, said):
    """As MySQL and MariaDB end one of two transactions that meet."""
    with open_run("score", store=client) as run:
        for name in ("log_batch", "log_inputs"):
            write, given_way = getattr(client, name), []

            def once(*args, write=write, given_way=given_way, **options):
                if not given_way:
                    given_way.append(1)
                    raise mlflow.MlflowException(said)
                write(*args, **options)

            monkeypatch.setattr(client, name, once)
        run.log(params={"a": 1}, metrics={"b": 2.0}, tags={"c": 3})
        run.log_texts(TextSetDataset(texts))
    there = client.get_run(run.run_id)
    assert (there.data.params, there.data.metrics) == ({"modelmap.a": "1"}, {"b": 2.0})
    assert there.data.tags["c"] == "3"
    assert [of.dataset.name for of in there.inputs.dataset_inputs] == [texts.name]
