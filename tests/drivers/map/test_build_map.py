"""From score runs to a map run and back."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import InputError, TrackingError, build_map, load_map
from mlflow_modelmap.drivers.map import pairs
from mlflow_modelmap.drivers.study.selection import SelectedRuns
from mlflow_modelmap.figures.map.map import map_figure
from mlflow_modelmap.numerics.divergence.kl import kl_between
from tests.scored import DIGEST, made_up, write_family, write_score


@pytest.fixture
def family(store):
    return write_family(store)


def test_a_map_holds_what_the_vectors_say(store):
    values, size = made_up(5)
    ids = [write_score(store, f"m{k}", row, size) for k, row in enumerate(values)]
    made = build_map(["test"])
    assert list(made.points["point"]) == [f"m{k}" for k in range(5)]
    assert list(made.points["run_id"]) == ids
    assert (made.texts, made.mean_bytes) == (len(size), size.mean())
    for a, b in ((0, 1), (1, 4)):
        kl, se = kl_between(values[a], values[b], size.mean(), text_bytes=size)
        assert made.between(f"m{a}", f"m{b}") == pytest.approx((kl, se), rel=1e-9)
    squared = ((made.coordinates[0] - made.coordinates[3]) ** 2).sum()
    assert made.kl.at["m0", "m3"] == pytest.approx(squared)
    bits = -values.mean(axis=1) / (size.mean() * np.log(2))
    np.testing.assert_allclose(made.points["bits_per_byte"], bits)
    assert made.entropy_bound == pytest.approx(bits.min())
    near = made.nearest_to("m2")
    assert list(near["kl"]) == sorted(np.delete(made.kl["m2"].to_numpy(), 2))[:3]
    first = made.closest_pairs(1).iloc[0]
    assert first["kl"] == made.kl.to_numpy()[np.triu_indices(5, 1)].min()


@pytest.mark.drawn
def test_the_run_says_what_it_is_and_holds_the_pictures(store, family):
    made = build_map(["test"], clip=0.02, name="my map")
    client = mlflow.MlflowClient(store)
    run = client.get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == made.name == "my map"
    assert run.data.tags["modelmap.kind"] == "map"
    assert run.data.tags["modelmap.text_set"] == DIGEST
    assert run.data.tags["modelmap.members"] == "10"
    assert run.data.params["modelmap.preprocessing.clip_quantile"] == "0.02"
    assert run.data.metrics["modelmap/points"] == 10
    assert run.data.metrics["modelmap/entropy_bound"] == made.entropy_bound
    assert run.data.metrics["modelmap/median_kl"] > 0
    files = {Path(f.path).name: f.file_size for f in client.list_artifacts(made.run_id, "modelmap")}
    assert {
        "points.parquet",
        "points.csv",
        "kl.parquet",
        "kl.csv",
        "kl_standard_error.parquet",
        "coordinates.npy",
        "nearest.parquet",
        "nearest.csv",
        "map_tsne.png",
        "map_pca.png",
        "kl_heatmap.png",
        "bits_per_byte.png",
        "map.html",
    } <= set(files)
    assert all(size > 400 for size in files.values())


def test_clipping_changes_kl_but_not_bits_per_byte(store, family):
    plain, clipped = build_map(["test"]), build_map(["test"], clip=0.1)
    assert not np.allclose(plain.kl, clipped.kl)
    assert clipped.entropy_bound == plain.entropy_bound
    assert any("raised" in notice for notice in clipped.notices)


@pytest.mark.parametrize("points", [2, 3])
def test_two_or_three_points_are_a_map_without_tsne(store, points):
    values, size = made_up(points)
    ids = [write_score(store, f"m{k}", row, size) for k, row in enumerate(values)]
    made = build_map(run_ids=ids)
    assert made.perplexity is None
    assert any("t-SNE" in notice for notice in made.notices)
    assert load_map(made.run_id).perplexity is None
    distance = np.linalg.norm(np.diff(made.points[["pca_1", "pca_2", "pca_3"]].iloc[:2], axis=0))
    assert distance**2 == pytest.approx(made.kl.iloc[0, 1])


def test_points_that_coincide_are_a_map(store):
    values, size = made_up(1)
    for k in range(5):
        write_score(store, f"m{k}", values[0] + k, size)
    made = build_map(["test"])
    assert made.kl.to_numpy().max() < 1e-25


@pytest.mark.parametrize("differ", [1, 2])
def test_copies_alone_are_a_large_map_too(store, monkeypatch, differ):
    monkeypatch.setattr(pairs, "LARGE", 4)
    values, size = made_up(differ)
    for k in range(8):
        write_score(store, f"m{k}", values[k % differ], size)
    made = build_map(["test"])
    same = made.points["identical_to"].isna()
    assert same.tolist() == [True] * differ + [False] * (8 - differ)
    said = {1: "All points coincide", 2: "at least 4 points that differ"}[differ]
    assert sum(said in notice for notice in made.notices) == 1
    metrics = mlflow.get_run(made.run_id).data.metrics
    kl = kl_between(values[0], values[-1], size.mean())[0]  # of a point with itself where all are
    assert metrics["modelmap/largest_kl"] == pytest.approx(kl)
    assert metrics["modelmap/smallest_kl"] == 0


def test_without_a_selection_it_is_the_current_experiment(store, family):
    write_score(store, "elsewhere", *[made_up(1)[0][0], made_up(1)[1]], experiment="other")
    made = build_map()
    assert len(made.points) == 10
    info = mlflow.MlflowClient(store).get_experiment(made.experiment_id)
    assert info.name == "test"


def test_a_map_joins_the_run_that_mlflow_run_made(store, family, monkeypatch):
    client = mlflow.MlflowClient(store)
    where = client.get_experiment_by_name("test").experiment_id
    mine = client.create_run(where).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", mine)
    before = len(client.search_runs([where]))
    made = build_map(["test"])
    assert made.run_id == mine
    assert len(client.search_runs([where])) == before


def test_it_can_go_to_another_experiment(store, family):
    made = build_map(["test"], output_experiment="maps")
    assert mlflow.MlflowClient(store).get_experiment(made.experiment_id).name == "maps"


@pytest.mark.parametrize(
    ("status", "message"), [("FAILED", "failed"), ("RUNNING", "running"), ("KILLED", "killed")]
)
def test_unfinished_runs_never_enter_a_map(store, family, status, message):
    values, size = made_up(1)
    wrong = write_score(store, "unfinished", values[0], size, status=status)
    assert "unfinished" not in build_map(["test"]).kl
    with pytest.raises(InputError, match=rf"{wrong}.*{message}"):
        build_map(run_ids=[*family, wrong])


def test_one_point_is_no_map(store):
    values, size = made_up(1)
    write_score(store, "alone", values[0], size)
    with pytest.raises(InputError, match=r"Only one point was found, 'alone'.*at least two"):
        build_map(["test"])


def test_no_runs_are_no_map(store):
    with pytest.raises(InputError, match="No finished run"):
        build_map(["test"])
    with pytest.raises(InputError, match=r"no experiment 'nowhere'.*'test'"):
        build_map(["nowhere"])


def test_different_text_sets_never_meet(store, family):
    values, size = made_up(1)
    write_score(store, "stranger", values[0], size, digest="b" * 64)
    with pytest.raises(InputError, match=r"555555555555.*bbbbbbbbbbbb"):
        build_map(["test"])


def test_a_damaged_artifact_names_its_run(store, family, tmp_path):
    path = next((tmp_path / "artifacts").rglob(f"{family[3]}/**/*.parquet"))
    path.write_bytes(b"no parquet")
    made = build_map(["test"])
    assert family[3] not in set(made.points["run_id"])
    (said,) = [notice for notice in made.notices if family[3] in notice]
    assert "which is damaged" in said
    assert "--again` does" in said
    with pytest.raises(TrackingError, match=family[3]):
        build_map(run_ids=family)


@pytest.mark.parametrize("clip", [-0.1, 1.0])
def test_an_impossible_clip_is_refused(store, clip):
    with pytest.raises(InputError, match="clip"):
        build_map(["test"], clip=clip)


def test_a_map_that_cannot_be_written_is_failed_not_finished(store, family, tmp_path, monkeypatch):
    client = mlflow.MlflowClient(store)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    where = client.create_experiment("blocked", artifact_location=blocked.as_uri())
    with pytest.raises(TrackingError, match=r"cannot be written to .*blocked"):
        build_map(["test"], output_experiment="blocked")
    assert client.search_runs([where]) == []  # it was asked before anything was computed
    monkeypatch.setattr(SelectedRuns, "check_destination", lambda *_: None)
    with pytest.raises(TrackingError, match=r"cannot be written to .*blocked"):
        build_map(["test"], output_experiment="blocked")
    (run,) = client.search_runs([where])
    assert run.info.status == "FAILED"
    assert run.data.tags["modelmap.error"]
    with pytest.raises(InputError, match="failed"):
        load_map(run.info.run_id)


def test_a_map_whose_files_do_not_fit_each_other_is_damaged(store, family):
    made = build_map(["test"])
    root = Path(mlflow.get_run(made.run_id).info.artifact_uri.removeprefix("file://"))
    np.save(root / "modelmap/coordinates.npy", made.coordinates[:-1])
    with pytest.raises(TrackingError, match=rf"{made.run_id} .*coordinates do not fit its"):
        load_map(made.run_id)


@pytest.mark.drawn
def test_copies_are_one_point_in_the_pictures_and_are_named(store):
    values, size = made_up(6)
    for name, row in (*zip("abcdef", values, strict=True), ("copy", values[1]), ("too", values[1])):
        write_score(store, name, row, size)
    made = build_map(["test"])
    same = made.points.set_index("point")["identical_to"].dropna().to_dict()
    assert same == {"copy": "b", "too": "b"}
    drawn = made.points.set_index("point").filter(regex="pca_|tsne")
    assert drawn.loc["copy"].equals(drawn.loc["b"])
    assert made.between("b", "copy") == (0.0, 0.0)
    assert (
        "Identical on every text, and one point in the pictures: 'b', 'copy', 'too'."
    ) in made.notices
    figure = map_figure(made.points)
    written = {text.get_text() for text in figure.axes[0].texts}
    assert "b and 2 equal" in written
    assert not {"b", "copy", "too"} & written
    write_score(store, "later", values[4], size)
    more = build_map(["test"], extend=made.run_id)
    assert more.points.set_index("point").at["later", "identical_to"] == "e"
    drawn = more.points.set_index("point")[["tsne2_1", "tsne2_2"]]
    assert drawn.loc["later"].equals(drawn.loc["e"])
