"""Models are scored where they are not, and put on a map."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import (
    InputError,
    TextSet,
    TrackingError,
    build_map,
    identify,
    import_vectors,
    log_texts,
    place_on_map,
    score,
)
from mlflow_modelmap.drivers.map.resample import texts_source
from tests.scored import made_up


def test_a_model_is_scored_with_the_maps_texts_and_put_on_it(store, tiny_models, text_file):
    for seed in range(4):
        score(tiny_models(seed=seed), text_file, experiment="real", progress=False)
    parent = build_map(["real"], output_experiment="real")
    named = score(tiny_models(seed=4), text_file, experiment="real", progress=False)
    new = tiny_models(seed=5)
    made = place_on_map([new, named.name], parent.run_id)
    assert len(made.points) == 6
    of_all = build_map(["real"])
    a, b = made.points["point"].iloc[0], made.points["point"].iloc[4]
    assert abs(made.between(a, b).kl - of_all.between(a, b).kl) < 1e-12
    runs = mlflow.MlflowClient(store).search_runs([made.experiment_id])
    kinds = [run.data.tags["modelmap.kind"] for run in runs]
    assert (kinds.count("score"), kinds.count("map")) == (6, 2)
    assert made.experiment_id == parent.experiment_id


def test_one_of_many_imported_points_is_placed_and_identified_alone(store, tmp_path):
    values, _ = made_up(15, 40)
    values[12:] = values[[3, 7, 11]] + 0.01 * np.arange(40) % 0.03
    texts = TextSet("made up", tuple(f"text {k} " + "z" * (70 + k) for k in range(40)))
    runs = {}
    for where, rows, names in (
        ("old", values[:12], [f"p{k}" for k in range(12)]),
        ("new", values[12:], ["near3", "near7", "near11"]),
    ):
        np.savez(tmp_path / f"{where}.npz", log_likelihoods=rows, names=np.array(names))
        made = import_vectors(
            tmp_path / f"{where}.npz", texts=texts, made_as="vectors", experiment=where
        )
        (runs[where],) = made.run_ids
    parent = build_map(["old"], output_experiment="old")
    for written, nearest in (("near3", "p3"), (f"{runs['new']}@near7", "p7")):
        found = identify(written, parent.run_id, texts=texts, experiment="new")
        assert found.nearest["point"].iloc[0] == nearest
        assert len(found.nearest) == 10
    own = identify(f"{runs['old']}@p5", parent.run_id, texts=texts)
    assert "p5" not in set(own.nearest["point"])
    assert len(own.nearest) == 10, "the run's other points are other models"
    with pytest.raises(InputError, match="holds 3 points, such as 'near3'"):
        identify(runs["new"], parent.run_id)
    made = place_on_map(["near3"], parent.run_id, texts=texts, experiment="new")
    assert made.points["point"].tolist()[12:] == ["near3"]
    again = place_on_map([runs["new"]], made.run_id)
    assert again.points["point"].tolist()[13:] == ["near7", "near11"]
    assert any("1 of the selected points were on the map already" in n for n in again.notices)


def test_texts_are_found_in_the_store_by_what_runs_say_and_by_their_digest(
    store, tiny_models, text_file
):
    uri = log_texts(text_file, name="common")
    for seed in range(3):
        score(tiny_models(seed=seed), "common", progress=False)
    parent = build_map(["test"], output_experiment="other")
    made = place_on_map([tiny_models(seed=3)], parent.run_id)
    assert len(made.points) == 4
    for seed in range(3):  # whose file is gone
        score(tiny_models(seed=seed), text_file, experiment="files", progress=False)
    parent = build_map(["files"], output_experiment="other")
    text_file.unlink()
    assert texts_source(parent, mlflow.MlflowClient()).digest == parent.text_set
    assert identify(tiny_models(seed=4), parent.run_id).nearest["point"].size == 3
    mlflow.delete_run(uri.removeprefix("runs:/"))
    with pytest.raises(InputError, match=r"which is not there; say with --texts"):
        identify(tiny_models(seed=5), parent.run_id)


def test_where_artifacts_cannot_be_written_nothing_is_scored(store, tiny_models, text_file):
    for seed in range(3):
        score(tiny_models(seed=seed), text_file, progress=False)
    parent = build_map(["test"])
    client = mlflow.MlflowClient(store)
    client.create_experiment("closed", artifact_location="/proc/nowhere")
    texts = TextSet("made up", tuple(f"text {k}" for k in range(6)))
    np.savez("v.npz", log_likelihoods=made_up(3, 6)[0], names=np.array(["a", "b", "c"]))
    before = len(client.search_runs([parent.experiment_id]))
    for work in (
        lambda: place_on_map([tiny_models(seed=3)], parent.run_id, output_experiment="closed"),
        lambda: log_texts(texts, experiment="closed"),
        lambda: import_vectors("v.npz", texts=texts, made_as="runs", experiment="closed"),
        lambda: import_vectors("v.npz", texts=texts, made_as="vectors", experiment="closed"),
    ):
        with pytest.raises(
            TrackingError, match=r"cannot be written to '/proc/nowhere' .*elsewhere"
        ):
            work()
    closed = client.get_experiment_by_name("closed").experiment_id
    assert client.search_runs([closed]) == []
    assert len(client.search_runs([parent.experiment_id])) == before
