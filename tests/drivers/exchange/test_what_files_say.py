"""What a file says of points and texts is read as it is said, refused, or named in a notice."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlflow_modelmap import InputError, TextSet, export_vectors, import_vectors
from mlflow_modelmap.drivers.exchange import file_checks, in_file, npz
from mlflow_modelmap.drivers.exchange.in_file import VectorsInFile
from mlflow_modelmap.drivers.exchange.labels import (
    Labels,
    read_names,
    read_parents,
    read_steps,
    read_types,
)
from mlflow_modelmap.drivers.exchange.read_file import read_file
from mlflow_modelmap.drivers.exchange.tables import write_csv_file, write_parquet_file
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.scored import made_up, write_family, write_score

TEXTS = TextSet("made up", tuple(f"text {k} " + "z" * (70 + k) for k in range(40)))
VALUES, _ = made_up(6, 40)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_npz(**more) -> None:
    names = np.array([f"m{k}" for k in range(len(VALUES))])
    np.savez("x.npz", **{"log_likelihoods": VALUES, "names": names, **more})


def test_what_pandas_says_of_a_table_is_not_believed(here):
    """Its metadata may name an index, rename columns and say types that the file does not have."""
    names = ["a", "b", "c"]
    table = pa.table(
        {
            "point": names, "step": pa.array([2**59 + 1, None, 3]), "shots": pa.array([5, None, 7]),
            "__index_level_0__": [0, 1, 2], **{str(k): VALUES[:3, k] for k in range(40)},
        }
    )  # fmt: skip
    lies = {
        "index_columns": ["shots", "__index_level_0__"],
        "column_indexes": [{"name": None, "pandas_type": "int64", "numpy_type": "int64"}],
        "columns": [
            {"name": "0", "field_name": "step", "pandas_type": "int64", "numpy_type": "int64"},
            {"name": "step", "field_name": "shots", "pandas_type": "int8", "numpy_type": "int8"},
            {"name": "shots", "field_name": "point", "pandas_type": "unicode",
             "numpy_type": "datetime64[ns]"},
        ],
    }  # fmt: skip
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(lies)}), "lies.parquet")
    points = read_file("lies.parquet", texts=TEXTS)[0].points
    assert points["point"].tolist() == names
    assert points["step"].tolist() == [2**59 + 1, pd.NA, 3]
    assert points["shots"].fillna("").tolist() == ["5", "", "7"]
    assert "__index_level_0__" not in points
    frame = pd.DataFrame(VALUES[:3], columns=list(map(str, range(40))), index=names)
    frame.rename_axis("point").to_parquet("indexed.parquet")
    assert read_file("indexed.parquet", texts=TEXTS)[0].points["point"].tolist() == names


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv"])
def test_tags_come_back_or_are_named(here, store, ending):
    """Of any name and value that MLflow takes."""
    kept = {
        "größe": "nan",
        "a/b": "NA",
        "x.npy": "null",
        "0 1": " 7.0 ",
        "q": '"a",\r\nb\t',
        "007": "é",
    }
    in_some = {"2024": "x", "bytes": "big", "models": "3", "text_set": "mine", "0": "nought"}
    in_none = {"step": "7", "point": "here", "row": "1", "log_likelihoods": "yes"}
    write_family(store, (0, 1))
    run = select_runs(["test"])[0]
    for name, value in {**kept, **in_some, **in_none, "empty": ""}.items():
        mlflow.MlflowClient().set_tag(run.run_id, name, value)
    made = export_vectors(f"x.{ending}", ["test"])
    left = {
        "npz": ["bytes", "log_likelihoods", "models", "point", "row", "step", "text_set"],
        "parquet": ["0", "log_likelihoods", "point", "row", "step"],
        "csv": ["0", "2024", "log_likelihoods", "point", "row", "step"],
    }[ending]
    assert made.notices == (
        "Tags of these names are left out, as import would not read them as tags from a "
        f".{ending} file: {', '.join(map(repr, left))}; rename them, or write another format.",
    )
    expected = {name: value for name, value in {**kept, **in_some}.items() if name not in left}
    import_vectors(made.file, made_as="vectors", experiment="again")
    again = next(p for p in select_runs(["again"]) if p.name == run.name)
    assert {name: again.tags.get(name) for name in expected} == expected
    assert not set(left) & set(again.tags)
    assert again.step == run.step
    twice = export_vectors(f"y.{ending}", ["again"])
    assert not twice.notices
    assert Path(twice.file).read_bytes() == Path(made.file).read_bytes()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_may_begin_with_a_byte_order_mark(here, mark):
    """As Windows' editors and PowerShell save UTF-8; it is no part of a name."""
    file = Path("x.txt")
    for read, content, found in (
        (read_names, "m-1\nm-2\n", ["m-1", "m-2"]),
        (read_names, '["m-1", "m-2"]', ["m-1", "m-2"]),
        (read_steps, "0\n10\n", [0, 10]),
        (read_steps, "[0, 10]", [0, 10]),
        (read_types, '{"m-1": "t"}', {"m-1": "t"}),
        (read_parents, '{"m-1": "p"}', {"m-1": ["p"]}),
    ):
        file.write_text(mark + content, encoding="utf-8")
        assert read(file) == found
    Path("x.csv").write_text(f"{mark}point,step,0,1\na,3,-1,-2\n", encoding="utf-8")
    Path("x.texts.json").write_text(
        mark + json.dumps({"bytes": [5, 6], "text_set": "a" * 64}), encoding="utf-8"
    )
    held, _ = read_file("x.csv")
    assert held.points.at[0, "point"] == "a"
    assert held.bytes.tolist() == [5, 6]


def test_columns_that_belong_to_others_are_said(here):
    write_npz(**{"mlflow.user": np.array(["eve"] * 6), "modelmap.vector": np.array(["0"] * 6)})
    made = import_vectors("x.npz", texts=TEXTS, experiment="x")
    assert made.notices == (
        "The columns 'mlflow.user', 'modelmap.vector' are left out: names that begin so belong to "
        "MLflow or to this plugin.",
    )
    assert select_runs(["x"])[0].tags["mlflow.user"] != "eve"


def test_a_vector_is_the_same_whatever_lies_beside_it(here):
    """One file is float32, the other float64 by another vector; two of its three are there."""
    half = VALUES[:2].astype(np.float32)
    write_npz(log_likelihoods=half, names=np.array(["a", "b"]))
    first = import_vectors("x.npz", texts=TEXTS, experiment="x")
    both = np.concatenate([half.astype(float), VALUES[2:3]])
    write_npz(log_likelihoods=both, names=np.array(["a", "b", "c"]))
    second = import_vectors("x.npz", texts=TEXTS, experiment="x")
    assert second.found == 2
    assert second.run_ids[:2] == first.run_ids
    np.save("x.npy", half)
    Path("names.txt").write_text("a\nb\n")
    third = import_vectors("x.npy", names="names.txt", texts=TEXTS, experiment="x")
    assert third.run_ids == first.run_ids


def test_whole_numbers_may_be_written_as_floats(here):
    """In every format: steps, layers, bytes, tokens and documents; a hole makes a column floats."""
    documents = np.arange(40) // 2
    of_texts = {"bytes": TEXTS.bytes, "scored_tokens": np.full(40, 9), "documents": documents}
    as_floats = {name: of.astype(np.float64) for name, of in of_texts.items()}
    write_npz(steps=np.array([0.0, 3, 1e3, -1, 5, 6]), layers=np.arange(6.0), **as_floats)
    frame = pd.DataFrame(VALUES, columns=list(map(str, range(40))))
    frame.insert(0, "point", [f"m{k}" for k in range(6)])
    frame.insert(1, "step", [0.0, 3, 1e3, np.nan, 5, 6])
    frame.insert(2, "layer", np.arange(6.0))
    said = {name: of.tolist() for name, of in as_floats.items()}
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(
        table.replace_schema_metadata({"mlflow_modelmap": json.dumps(said)}), "x.parquet"
    )
    frame.to_csv("x.csv", index=False)
    Path("x.texts.json").write_text(json.dumps(said))
    for file in ("x.npz", "x.parquet", "x.csv"):
        held, notices = read_file(file, texts=TEXTS)
        assert held.points["step"].fillna(-1).tolist() == [0, 3, 1000, -1, 5, 6], file
        assert held.points["layer"].tolist() == list(range(6)), file
        for name, of in of_texts.items():
            np.testing.assert_array_equal(getattr(held, name), of)
            assert getattr(held, name).dtype == np.int64
        assert not notices
    for name, of in as_floats.items():
        wrong = {**said, name: [1.5, *of.tolist()[1:]]}
        Path("x.texts.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=rf"holds 1\.5 as the {name} of text 0"):
            read_file("x.csv", texts=TEXTS)


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv"])
@pytest.mark.parametrize(
    "steps",
    [[-1, None, 5, 2**59 + 1, -(2**59) - 1, 0], [0, None, 5, -2, 7, 8], [-1, 0, 1, 2, 3, 4]],
)
def test_steps_before_the_first_come_back(here, steps, ending):
    """-1 is one of them, and none is none."""
    points = pd.DataFrame({"point": list("abcdef"), "step": pd.array(steps, dtype="Int64")})
    write = {"npz": npz.write_npz, "parquet": write_parquet_file, "csv": write_csv_file}[ending]
    write(Path(f"x.{ending}"), VectorsInFile(VALUES, points))
    found = read_file(f"x.{ending}", texts=TEXTS)[0].points["step"]
    assert found.tolist() == [pd.NA if step is None else step for step in steps]


def test_what_stands_beside_a_csv_file_belongs_to_its_content(here, store, monkeypatch):
    """Neither an export that was killed between the two files nor another file gets its texts."""
    write_family(store, (0, 1))
    made = export_vectors("x.csv", ["test"])
    whole, digest = Path("x.csv").read_bytes(), read_file("x.csv")[0].text_set
    assert digest == made.text_set
    random = np.random.default_rng(0)
    for name in "ab":
        write_score(
            store, name, -random.uniform(50, 90, 40), np.full(40, 60), experiment="other",
            digest="7" * 64,
        )  # fmt: skip

    def killed(source, target, real=os.replace):
        if Path(target).suffix == ".csv":
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            export_vectors("x.csv", ["other"])
    assert Path("x.csv").read_bytes() == whole
    refused = (
        r"'x\.texts\.json' says what the texts of another file than 'x\.csv' are; get or export"
    )
    with pytest.raises(InputError, match=refused):
        import_vectors("x.csv", experiment="again")
    export_vectors("x.csv", ["other"])
    assert read_file("x.csv")[0].text_set == "7" * 64
    Path("x.csv").write_bytes(whole)
    with pytest.raises(InputError, match=refused):
        read_file("x.csv")
    said = json.loads(Path("x.texts.json").read_text())
    assert said.pop("csv").keys() == {"size", "sha256"}
    Path("x.texts.json").write_text(json.dumps(said))  # as older versions wrote it
    assert read_file("x.csv")[0].text_set == "7" * 64


def test_steps_as_texts_are_whole_numbers_too(here):
    write_npz(steps=np.array(["-1", "", "3.0", "4", "5", "first"]))
    with pytest.raises(InputError, match=r"The step of point 5 in .* is 'first'; give a whole"):
        read_file("x.npz", texts=TEXTS)


def test_all_numbers_are_looked_at_once(here, monkeypatch):
    """And the names that are made of a file's keys once they are made."""
    looked = []
    real = file_checks._check_values
    monkeypatch.setattr(
        file_checks, "_check_values", lambda *held: (looked.append(held), real(*held))[1]
    )
    write_npz()
    read_file("x.npz", texts=TEXTS)
    assert len(looked) == 1
    Path("x.pkl").write_bytes(pickle.dumps({"x": {0: VALUES[0]}}))
    with pytest.raises(InputError, match=r"Point 0 of .* give each point a name of at most 1,000"):
        read_file("x.pkl", texts=TEXTS, keys="layer", labels=Labels("z" * 1000 + "{}"))


@pytest.mark.parametrize("ending", ["npz", "parquet", "csv"])
def test_trainings_of_two_owners_stay_apart(here, ending):
    """Also where the file names the trajectory of one; a model is called in short where it can."""
    models = ["A/llama", "A/llama", "B/llama", "B/llama", "B/tiny", "C/one", "D/one"]
    frame = pd.DataFrame(VALUES[[0, 1, 2, 3, 4, 5, 5]], columns=list(map(str, range(40))))
    frame.insert(0, "point", [f"m{k}" for k in range(7)])
    frame.insert(1, "model", models)
    frame.insert(2, "trajectory", [""] * 5 + ["one", ""])
    frame.insert(3, "step", [1, 2, 3, 4, 5, 6, 7])
    if ending == "npz":
        named = {"names": "point", "models": "model", "trajectories": "trajectory"}
        np.savez(
            "x.npz",
            log_likelihoods=frame.iloc[:, 4:].to_numpy(),
            steps=frame["step"].to_numpy(),
            **{name: frame[of].to_numpy(dtype=np.str_) for name, of in named.items()},
        )
    elif ending == "parquet":
        frame.to_parquet("x.parquet")
    else:
        frame.to_csv("x.csv", index=False)
    points = read_file(f"x.{ending}", texts=TEXTS)[0].points
    assert points["trajectory"].tolist() == [*models[:4], "tiny", "one", "D/one"]


def test_points_of_two_owners_have_their_names(here):
    held = {f"{owner}/x": {k: VALUES[k]} for k, owner in enumerate("ab")} | {"a/y": {2: VALUES[2]}}
    Path("x.pkl").write_bytes(pickle.dumps(held))
    points = read_file("x.pkl", texts=TEXTS, keys="step")[0].points
    assert points["point"].tolist() == ["a/x step 0", "b/x step 1", "y step 2"]
    assert points["trajectory"].tolist() == ["a/x", "b/x", "y"]


def test_no_more_points_or_labels_than_are_read(here, monkeypatch):
    """Of small files that hold many; said before any of them becomes an object."""
    frame = pd.DataFrame({"point": ["a", "b", "c"], "x": 1, "y": 2, "0": -1.0})
    frame.to_csv("many.csv", index=False)
    frame.to_parquet("many.parquet")
    names = {name: np.array(["a", "b", "c"]) for name in ("names", "x", "y")}
    np.savez("many.npz", log_likelihoods=VALUES[:3], **names)
    monkeypatch.setattr(in_file, "MOST_LABELS", 8)
    for file in ("many.csv", "many.parquet", "many.npz"):
        with pytest.raises(InputError, match="has 3 labels of each of 3 points, and modelmap imp"):
            read_file(file)
    monkeypatch.setattr(in_file, "LARGEST", in_file.Limit(10**6, 2, "the test"))
    for file in ("many.csv", "many.parquet", "many.npz"):
        with pytest.raises(InputError, match="has 3 points, and the test reads at most 2; split"):
            read_file(file)


def test_a_file_that_is_refused_leaves_no_experiment(here):
    write_npz(log_likelihoods=-VALUES)
    with pytest.raises(InputError, match="not losses"):
        import_vectors("x.npz", texts=TEXTS, experiment="fresh")
    assert mlflow.get_experiment_by_name("fresh") is None
