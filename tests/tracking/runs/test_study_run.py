"""Map-like runs: what is written comes back, damage is named."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.picture import write_png
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.runs.study_run import (
    load_study,
    points_table,
    square_of,
    square_table,
    write_study,
)


@pytest.fixture
def members(write_run):
    write_run("a", step="1", trajectory="t")
    write_run("b")
    return select_runs(["test"])


def folder_of(run_id, store):
    run = mlflow.MlflowClient(store).get_run(run_id)
    return local_path(run.info.artifact_uri) / "modelmap"


def test_what_is_written_comes_back(members, store):
    points = points_table(members, x=[0.5, 1.5])
    kl = square_table([p.name for p in members], np.array([[0.0, 2.0], [2.0, 0.0]]))
    figure = Figure()
    figure.subplots().plot([1, 2])
    run_id = write_study(
        "map",
        tables={"points": points, "kl": kl},
        arrays={"coordinates": np.arange(6.0).reshape(2, 3)},
        figures={"map": figure},
        texts={"map.html": "<html></html>"},
        metrics={"entropy_bound": 1.25},
        series=[("kl_previous/t", 1, 0.5)],
        params={"seed": 0},
        members=members,
        name="my map",
    )
    loaded = load_study(
        run_id, "map", tables=["points", "kl"], arrays=["coordinates"], optional=["nearest"]
    )
    pd.testing.assert_frame_equal(loaded.tables["points"], points)
    pd.testing.assert_frame_equal(loaded.tables["kl"], kl)
    assert loaded.tables.keys() == {"points", "kl"}
    assert np.array_equal(loaded.arrays["coordinates"], np.arange(6.0).reshape(2, 3))
    assert loaded.metrics == {"modelmap/entropy_bound": 1.25, "modelmap/kl_previous/t": 0.5}
    assert loaded.params == {"modelmap.seed": "0"}
    assert loaded.name == "my map"
    assert loaded.tags["modelmap.members"] == "2"
    assert loaded.tags["modelmap.text_set"] == "a" * 64
    files = {path.name for path in folder_of(run_id, store).iterdir()}
    assert files == {
        "points.parquet",
        "points.csv",
        "kl.parquet",
        "kl.csv",
        "coordinates.npy",
        "map.png",
        "map.html",
    }
    assert points["point"].tolist() == ["a", "b"]
    assert points["step"].tolist() == [1, pd.NA]


def test_a_picture_is_what_savefig_writes_to_the_pixel(tmp_path):
    from matplotlib.image import imread

    def drawn():
        figure = Figure(layout="constrained")
        first, second = figure.subplots(1, 2)
        first.plot([1, 2], label="a line")
        first.set_ylabel("nats of\nthree lines\nthat need room")
        first.legend()
        figure.colorbar(second.imshow([[0, 1], [2, 3]]), ax=second, label="bits per byte")
        figure.suptitle("over both")
        return figure

    figure = drawn()
    figure.savefig(tmp_path / "usual.png", dpi=150)
    figure = drawn()
    write_png(figure, tmp_path / "ours.png")
    assert figure.get_layout_engine() is not None
    usual, ours = imread(tmp_path / "usual.png"), imread(tmp_path / "ours.png")
    assert np.array_equal(usual, ours)


def test_a_map_goes_where_its_members_are_unless_told_otherwise(write_run, store, monkeypatch):
    from mlflow.tracking import fluent

    write_run("a", experiment="studies")
    members = select_runs(["studies"])
    client = mlflow.MlflowClient(store)

    def where(**options):
        run = client.get_run(write_study("map", members=members, **options))
        return client.get_experiment(run.info.experiment_id).name

    assert where() == "test"  # mlflow.set_experiment
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    assert where() == "studies"
    assert where(experiment="maps") == "maps"


def test_a_failure_half_way_leaves_no_finished_run(members, store):
    class Broken(Figure):
        def savefig(self, *_, **__):
            raise RuntimeError("no canvas")

    with pytest.raises(RuntimeError):
        write_study("map", figures={"map": Broken()}, members=members)
    runs = mlflow.MlflowClient(store).search_runs(
        [members[0].experiment_id], "tags.`modelmap.kind` = 'map'"
    )
    assert [run.info.status for run in runs] == ["FAILED"]
    with pytest.raises(InputError, match=r"is failed \(RuntimeError: no canvas\), not finished"):
        load_study(runs[0].info.run_id)


def test_what_cannot_be_loaded_is_said(members, store):
    run_id = write_study("map", arrays={"coordinates": np.zeros((1, 2))}, members=members)
    with pytest.raises(InputError, match="is of kind 'map', not 'trajectory'"):
        load_study(run_id, "trajectory")
    with pytest.raises(InputError, match="is of kind 'score', not 'map'"):
        load_study(members[0].run_id, "map")
    with pytest.raises(InputError, match="There is no run 'nope'"):
        load_study("nope")
    with pytest.raises(TrackingError, match=rf"{run_id} is damaged.*kl.parquet"):
        load_study(run_id, tables=["kl"])
    path = folder_of(run_id, store) / "coordinates.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TrackingError, match=r"coordinates\.npy cannot be read"):
        load_study(run_id, arrays=["coordinates"])


def test_a_study_says_which_runs_it_was_asked_for_and_what_its_user_was_told(members):
    said = ["Left out 2 runs: ümlaut.", 'A "quoted" one.']
    asked = Selection.of((name for name in ["test"]), "params.x = '1'", iter(["r1", "r2"]))
    read = load_study(write_study("scale", selection=asked, notices=said, members=members))
    assert read.notices == tuple(said)
    assert read.selection == Selection(("test",), "params.x = '1'", ("r1", "r2"))
    nothing = load_study(write_study("scale", members=members))
    assert nothing.notices == ()
    assert nothing.selection is None
    everything = load_study(write_study("scale", selection=Selection(), members=members))
    assert everything.selection == Selection()


def test_notices_and_run_ids_longer_than_mlflow_keeps_come_back_whole(members, store):
    said = [f"Text {number} was left out, because it is like many others." for number in range(400)]
    ids = [f"{number:032x}" for number in range(300)]
    run_id = write_study("map", selection=Selection.of((), None, ids), notices=said)
    kept = mlflow.MlflowClient(store).get_run(run_id).data.params
    assert len(kept["modelmap.notices"]) <= 6000
    assert "long_values.json" in kept["modelmap.notices"]
    read = load_study(run_id)
    assert read.notices == tuple(said)
    assert read.selection == Selection((), None, tuple(ids))
    (folder_of(run_id, store) / "long_values.json").unlink()
    with pytest.raises(TrackingError, match=rf"{run_id} is damaged.*long_values\.json"):
        load_study(run_id)


@pytest.mark.parametrize("kind", ["weights", "lineage"])
def test_notices_that_the_first_version_wrote_as_a_file_are_read(members, kind):
    old = write_study(
        kind, texts={"notices.txt": "One.\nTwo."}, params={"experiments": ["test"], "filter": ""}
    )
    read = load_study(old)
    assert read.notices == ("One.", "Two.")
    assert read.selection == Selection(("test",))
    assert load_study(write_study(kind)).notices == ()


def test_notices_that_the_first_version_wrote_as_a_param_are_read(members):
    old = write_study("map", params={"notices": '["One.", "Two."]', "run_ids": ["r"]})
    assert load_study(old).notices == ("One.", "Two.")
    assert load_study(old).selection == Selection((), None, ("r",))


def test_a_square_table_comes_back_as_a_square():
    values = np.array([[0.0, 2.0], [2.0, 0.0]])
    square = square_of(square_table(["a", "point b"], values))
    assert np.array_equal(square.to_numpy(), values)
    assert list(square.index) == list(square.columns) == ["a", "point b"]
    assert square.index.name is None
