"""A run of kind ``vectors`` stands for its points wherever score runs are selected."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.vectors_run import ManyVectors, write_vectors_run
from tests.tracking.conftest import DIGEST

VALUES = np.array([[-30.0, -40.0, -50.0], [-33.0, -41.5, -47.0], [-28.0, -44.0, -51.0]])
BYTES = np.array([20, 21, 22])  # those of tests.tracking.conftest


@pytest.fixture
def write_many(store: str, tmp_path: Path):
    """A run of many points as anybody could write it: with MLflow, numpy and pandas alone."""
    client = mlflow.MlflowClient(store)

    def write(points=None, texts=None, values=VALUES, tags=(), without=()) -> str:
        where = client.get_experiment_by_name("test").experiment_id
        own = {"modelmap.kind": "vectors", "modelmap.text_set": DIGEST, **dict(tags)}
        run_id = client.create_run(where, run_name="from elsewhere", tags=own).info.run_id
        folder = tmp_path / run_id
        folder.mkdir()
        if points is None:
            points = pd.DataFrame({"point": ["a", "b", "c"], "row": [0, 1, 2]})
        if texts is None:
            texts = pd.DataFrame({"bytes": BYTES})
        points.to_parquet(folder / "points.parquet")
        texts.to_parquet(folder / "texts.parquet")
        if isinstance(values, bytes):
            (folder / "vectors.npy").write_bytes(values)
        else:
            np.save(folder / "vectors.npy", values)
        for name in without:
            (folder / name).unlink()
        client.log_artifacts(run_id, str(folder), "modelmap")
        client.set_terminated(run_id, "FINISHED")
        return run_id

    return write


def test_each_point_is_one_beside_score_runs(write_many, write_run):
    many, single = write_many(), write_run("single", VALUES[0] - 1)
    runs = select_runs(["test"])
    of = {run.name: run.run_id for run in runs}
    assert of == {"single": single, "a": many, "b": many, "c": many}
    matrix, points = read_matrix(runs)
    by_name = dict(zip(matrix.points, matrix.values, strict=True))
    np.testing.assert_array_equal(by_name["b"], VALUES[1])
    np.testing.assert_array_equal(by_name["single"], VALUES[0] - 1)
    bits = {p.name: p.bits_per_byte for p in points}
    assert bits["a"] == pytest.approx(40 / (21 * np.log(2)))
    assert len(select_runs(run_ids=[many])) == 3


def test_a_row_is_where_the_table_says_and_float32_is_read_as_it_is(write_many):
    values = VALUES.astype(np.float32)
    points = pd.DataFrame({"point": ["last", "first"], "row": [2, 0], "step": [5, 3]})
    write_many(points, values=values)
    runs = select_runs(["test"])
    matrix, _ = read_matrix(runs[:1])
    assert runs[0].name == "last"
    assert runs[0].step == 5
    np.testing.assert_array_equal(matrix.values, values[2:].astype(np.float64))


def test_what_the_table_says_of_a_point(write_many):
    table = pd.DataFrame(
        {
            "point": ["a", "b", "c"],
            "row": [0, 1, 2],
            "model": ["org/a", None, "org/c"],
            "trajectory": ["t", "t", None],
            "step": pd.array([0, 1000, None], dtype="Int64"),
            "layer": pd.array([None, None, 7], dtype="Int64"),
            "model_type": ["llama", "pythia", "llama"],
            "precision": "float16",
            "base_model": [None, "org/a", None],
            "seed": ["1", "2", "1"],
            "modelmap.bos_applied": ["true", None, "false"],
            "modelmap.text_weights": "nonsense",
            "noise_kl": [0.5, np.nan, np.nan],
        }
    )
    write_many(table, tags={"modelmap.text_set_name": "some texts", "owner": "me"})
    a, b, c = select_runs(["test"])
    assert (a.model, b.model, c.model) == ("org/a", "b", "org/c")
    assert (b.trajectory, b.step, b.base_model, b.model_type) == ("t", 1000, "org/a", "pythia")
    assert (a.layer, c.layer, a.noise_kl, b.noise_kl) == (None, 7, 0.5, None)
    assert (a.bos_applied, b.bos_applied, c.bos_applied) == (True, None, False)
    assert a.tags["seed"] == "1"
    assert a.tags["modelmap.model_type"] == "llama"
    assert a.tags["owner"] == "me"
    assert a.text_set_name == "some texts"
    assert "modelmap.text_weights" not in a.tags  # no table says how texts are weighted
    assert all(p.imported and p.one_of_many and not p.monitored for p in (a, b, c))


FILTERED = {
    "tags.seed = '1'": ["a", "c", "own"],
    "tags.`modelmap.model_type` LIKE 'py%'": ["b"],
    "tags.seed = '1' AND tags.`modelmap.step` != '0'": ["c"],
    "attributes.run_name = 'b'": ["b"],
    "tags.`modelmap.text_set` = 'nothing'": [],
    f"tags.`modelmap.text_set` = '{DIGEST}' AND params.made = 'x'": [],
}


def test_a_filter_chooses_points_as_it_chooses_runs(write_many, write_run, store):
    table = pd.DataFrame({"point": list("abc"), "row": [0, 1, 2], "seed": ["1", "2", "1"]})
    table = table.assign(step=[0, 5, 9], model_type=["llama", "pythia", "llama"])
    write_many(table)
    own = write_run("own")
    mlflow.MlflowClient(store).set_tag(own, "seed", "1")
    for filter, names in FILTERED.items():
        if names:
            assert sorted(run.name for run in select_runs(["test"], filter)) == names, filter
            continue
        with pytest.raises(InputError, match="No finished run"):
            select_runs(["test"], filter)


def test_documents_weights_and_tokens_are_those_of_the_texts(write_many):
    texts = pd.DataFrame(
        {
            "text": [2, 0, 1],
            "bytes": [22, 20, 21],
            "scored_tokens": [3, 4, 5],
            "weight": [3.0, 1.0, 2.0],
            "document": pd.array([None, 0, 0], dtype="Int64"),
        }
    )
    write_many(texts=texts)
    matrix, _ = read_matrix(select_runs(["test"]))
    assert matrix.text_bytes.tolist() == [20, 21, 22]
    assert matrix.weights.tolist() == [1.0, 2.0, 3.0]
    assert matrix.documents.tolist() == [0, 0, -1]


def test_what_is_written_is_read_back_and_told_from_anything_else(store, tmp_path):
    client = mlflow.MlflowClient(store)
    many = ManyVectors(VALUES, pd.DataFrame({"point": list("abc")}), BYTES, DIGEST, "texts")
    run_id = write_vectors_run(many, store=client, name="x", experiment="test")
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["modelmap.points"] == "3"
    root = Path(run.info.artifact_uri.removeprefix("file://")) / "modelmap"
    sha = hashlib.sha256()  # as docs/vectors.md says it
    for name in ("points.parquet", "texts.parquet", "vectors.npy"):
        data = (root / name).read_bytes()
        sha.update(f"modelmap/{name}\0{len(data)}\0".encode() + data)
    assert run.data.tags["modelmap.vector"] == sha.hexdigest()
    matrix, _ = read_matrix(select_runs(["test"]))
    np.testing.assert_array_equal(matrix.values, VALUES)
    assert (root / "points.csv").is_file()
    swapped = pd.DataFrame({"point": list("bac"), "row": [0, 1, 2]})
    swapped.to_parquet(root / "points.parquet")
    notices: list[str] = []
    with pytest.raises(TrackingError, match="None of the 3 runs can be read"):
        read_matrix(select_runs(["test"]), notices=notices)
    assert len(notices) == 1  # not one a point
    assert "artifacts are others than were imported" in notices[0]
    assert "`modelmap import`" in notices[0]
    with pytest.raises(TrackingError, match="others than were imported"):
        read_matrix(select_runs(["test"]), named=[run_id], notices=[])


def points(**columns):
    return {"points": pd.DataFrame({"point": list("abc"), "row": [0, 1, 2], **columns})}


LISTED = {
    "no names": ({"points": pd.DataFrame({"row": [0]})}, "lacks the column point"),
    "no rows": ({"points": pd.DataFrame({"point": ["a"]})}, "lacks the column row"),
    "nothing": ({"points": pd.DataFrame({"point": [], "row": []})}, "lists no point"),
    "one name twice": (points(point=["a", "b", "a"]), "names two points 'a'"),
    "an empty name": (points(point=["a", " ", "c"]), "names a point ' '"),
    "a long name": (points(point=["a", "n" * 5000, "c"]), "names a point 'nnn"),
    "a number": (points(point=[1, 2, 3]), "names a point 1"),
    "one row twice": (points(row=[0, 1, 1]), "no row of its own"),
    "a row below 0": (points(row=[0, 1, -1]), "no row of its own"),
    "no row": (points(row=[0, 1, None]), "no row of its own"),
    "half a row": (points(row=[0, 1, 1.5]), "row 1.5"),
    "a step of letters": (points(step=["1", "2", "x"]), "something else than numbers"),
    "a huge step": (points(step=[1.0, 2.0, 1e300]), "the step 1e\\+300"),
    "a layer below 0": (points(layer=[1, 2, -3]), "the layer -3"),
    "no file": ({"without": ["points.parquet"]}, "points.parquet is missing"),
}


def test_a_damaged_list_of_points_breaks_no_other_run(write_many, write_run):
    made = {write_many(**given): said for given, said in LISTED.values()}
    write_run("single")
    notices: list[str] = []
    assert [run.name for run in select_runs(["test"], notices=notices)] == ["single"]
    assert f"Left out {len(made) - 10} more runs" in notices[-1]
    for run_id, said in made.items():
        with pytest.raises(TrackingError, match=f"{run_id} is damaged: .*{said}"):
            select_runs(run_ids=[run_id])


def cut(values, by=4) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()[:-by]


HELD = {
    "NaN": ({"values": np.where(VALUES == -50, np.nan, VALUES)}, "text 2 of 'a' is nan"),
    "infinity": ({"values": np.where(VALUES == -50, -np.inf, VALUES)}, "text 2 of 'a' is -inf"),
    "above 0": ({"values": -VALUES}, "above 0, which no probability gives"),
    "few rows": ({"values": VALUES[:2]}, "has 2 rows, and a point is row 2"),
    "few texts": ({"values": VALUES[:, :2]}, r"has the shape \(3, 2\)"),
    "flat": ({"values": VALUES.ravel()}, r"has the shape \(9,\)"),
    "by columns": ({"values": np.asfortranarray(VALUES)}, "no row of 3 texts a point"),
    "whole numbers": ({"values": VALUES.astype(int)}, "are no numbers"),
    "objects": ({"values": np.array([[None] * 3] * 3)}, "are no numbers"),
    "cut short": ({"values": cut(VALUES)}, "promises 0.0 MB of numbers"),
    "no array": ({"values": b"nonsense"}, "cannot be read"),
    "no bytes": ({"texts": pd.DataFrame({"weight": [1.0, 2, 3]})}, "lacks the column bytes"),
    "text of no bytes": ({"texts": pd.DataFrame({"bytes": [20, 0, 22]})}, "text 1 has no bytes"),
    "weight of 0": (
        {"texts": pd.DataFrame({"bytes": BYTES, "weight": [1.0, 0.0, 1.0]})},
        "weight of text 1 is 0.0",
    ),
    "texts missing": ({"without": ["texts.parquet"]}, "texts.parquet is missing"),
    "vectors missing": ({"without": ["vectors.npy"]}, "vectors.npy is missing"),
}


def test_damaged_vectors_break_no_other_run(write_many, write_run):
    made = {write_many(**given): said for given, said in HELD.values()}
    write_run("single")
    notices: list[str] = []
    matrix, _ = read_matrix(select_runs(["test"]), notices=notices)
    assert matrix.points == ("single",)
    assert f"Left out {len(made) - 10} more runs" in notices[-1]
    for run_id, said in made.items():
        with pytest.raises(TrackingError, match=f"{run_id} .*{said}"):
            read_matrix(select_runs(run_ids=[run_id]))


def test_a_small_file_that_promises_much_is_not_unpacked(write_many):
    table = pd.DataFrame({"point": ["a"], "row": [10**9]})
    run_id = write_many(table)
    with pytest.raises(TrackingError, match="has 3 rows, and a point is row 1000000000"):
        read_matrix(select_runs(run_ids=[run_id]))
