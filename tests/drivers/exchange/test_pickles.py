"""Pickles are read by an unpickler that runs nothing; the authors' shapes become vectors."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.exchange import in_file
from mlflow_modelmap.drivers.exchange.labels import Labels, read_names, read_parents, read_types
from mlflow_modelmap.drivers.exchange.pickles import read_pickle
from mlflow_modelmap.drivers.exchange.released import read_vectors_pickle, weight_table


@pytest.fixture
def pickled(tmp_path):
    """`pickled(value)`: a file that holds it."""

    def write(value, protocol=pickle.HIGHEST_PROTOCOL):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
        return tmp_path / "x.pkl"

    return write


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    "value",
    [Evil(), {"410m": {0: Evil()}}, np.array([Evil()], dtype=object), sys.exit, io.BytesIO()],
    ids=["call", "nested", "in an array", "function", "object"],
)
def test_anything_but_arrays_is_refused_before_it_runs(pickled, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"The pickle asks for \w+\.\w+, which is no part of"):
        read_pickle(pickled(value))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["system", "ndarray.tofile", "load"])
def test_a_name_beside_an_allowed_one_is_refused(tmp_path, name):
    module = b"numpy"
    code = b"\x80\x04\x8c" + bytes([len(module)]) + module
    code += b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
    (tmp_path / "x.pkl").write_bytes(code)
    with pytest.raises(InputError, match=rf"asks for numpy\.{name}, which is no part"):
        read_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_read(pickled, protocol):
    value = {"410m": {0: np.arange(3, dtype=np.float32), 1: None}, "x": np.float64(2.5)}
    read = read_pickle(pickled(value, protocol))
    np.testing.assert_array_equal(read["410m"][0], value["410m"][0])
    assert read["x"] == 2.5


def test_a_table_is_read(pickled):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    read = read_pickle(pickled(pd.DataFrame(frame.to_numpy())))
    np.testing.assert_array_equal(read.to_numpy(), frame.to_numpy())


def test_what_is_no_pickle_of_arrays_is_said(pickled, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_pickle(tmp_path / "none.pkl")
    with pytest.raises(InputError, match="is no file"):
        read_pickle(tmp_path)
    (tmp_path / "lfs.pkl").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="git lfs pull"):
        read_pickle(tmp_path / "lfs.pkl")
    file = pickled(np.zeros(10_000))
    monkeypatch.setattr(in_file.path_of, "__defaults__", (in_file.Limit(1000, 1, "the test"),))
    with pytest.raises(InputError, match=r"has 0\.1 MB, and the test reads at most 0\.0 MB"):
        read_pickle(file)


def test_a_dictionary_by_step_becomes_checkpoints(pickled):
    vector = np.array([-3.0, -4.5], dtype=np.float32)
    file = pickled({"410m": {1000: vector, 0: vector - 1, 7: None}, "410m-seed3": {0: vector - 2}})
    held = read_vectors_pickle(file, keys="step")
    assert held.values.dtype == np.float32
    np.testing.assert_array_equal(held.values, np.stack([vector - 1, vector, vector - 2]))
    assert held.notices == ("1 vector is missing from the file and left out: '410m step 7'.",)
    said = Labels("EleutherAI/pythia-{}", "step{}", "float16", "pythia", "1234").of(held).points
    assert said["point"].tolist() == [
        "pythia-410m step 0", "pythia-410m step 1000", "pythia-410m-seed3 step 0"
    ]  # fmt: skip
    assert said["model"].tolist()[2] == "EleutherAI/pythia-410m-seed3"
    assert said["trajectory"].tolist() == ["pythia-410m", "pythia-410m", "pythia-410m-seed3"]
    assert said["revision"].tolist() == ["step0", "step1000", "step0"]
    assert said["seed"].tolist() == ["1234", "1234", "3"]
    assert set(said["precision"]) == {"float16"}
    assert set(said["model_type"]) == {"pythia"}


def test_layers_quantised_copies_and_an_array(pickled, tmp_path):
    vector = np.array([-3.0, -4.5], dtype=np.float32)
    layers = read_vectors_pickle(
        pickled({"org/a": {1: vector, 0: vector}, "org/b": None}), None, "layer"
    )
    said = Labels().of(layers).points
    assert said["point"].tolist() == ["org/a layer 0", "org/a layer 1"]
    assert said["layer"].tolist() == [0, 1]
    assert set(said["model"]) == {"org/a"}
    copies = read_vectors_pickle(pickled({"org/a": vector, "org/b": None}))
    said = Labels(precision="fp4").of(copies).points
    assert said["point"].tolist() == ["org/a fp4"]
    assert said["model"].tolist() == ["org/a"]
    written = {
        "list.json": ["org/a", "org/b", "org/c"],
        "types.json": {"org/a": "x", "org/c": "y"},
        "parents.json": {"org/a": None, "org/b": "org/a", "org/c": ["org/a", "org/b"]},
    }
    for name, value in written.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / "list.txt").write_text("org/a\norg/b\norg/c\n")
    file = pickled(np.stack([vector] * 3))
    for names in ("list.json", "list.txt"):
        array = read_vectors_pickle(file, read_names(tmp_path / names))
        labels = Labels(
            types=read_types(tmp_path / "types.json"),
            parents=read_parents(tmp_path / "parents.json"),
        )
        found = labels.of(array)
        assert found.points["point"].tolist() == ["org/a", "org/b", "org/c"]
        assert found.points["model_type"].fillna("").tolist() == ["x", "", "y"]
        assert found.points["base_model"].fillna("").tolist() == ["", "org/a", ""]
        assert found.notices == ("No type is given for 1 of 3 points.",)


ONE = np.zeros(2)
REFUSED = {
    "by number, of what": ({"a": {0: ONE}}, None, "say with --keys step or --keys layer"),
    "not by number": ({"a": ONE}, "step", "leave out --keys"),
    "some by number": ({"a": {0: ONE}, "b": ONE}, "step", "'b' in .* holds no dictionary by step"),
    "another length": ({"a": ONE, "b": np.zeros(3)}, None, r"'b' has .* shape \(3,\), where 'a'"),
    "a matrix": ({"a": np.zeros((2, 2))}, None, "'a' has log-likelihoods of type"),
    "words": ({"a": np.array(["x", "y"])}, None, "'a' has log-likelihoods of type <U1"),
    "a number for a name": ({1: ONE}, None, "has the name 1"),
    "letters for a step": ({"a": {"x": ONE}}, "step", "has the step 'x'"),
    "half a step": ({"a": {1.5: ONE}}, "step", r"has the step 1\.5"),
    "all missing": ({"a": None}, None, "Every vector in .* is missing"),
    "a list": ([1, 2], None, "neither an array nor a dictionary"),
    "nothing": ({}, None, "neither an array nor a dictionary"),
    "an array without names": (np.zeros((2, 2)), None, "says no names; give them with --names"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_a_released_file_is_said(pickled, what):
    value, keys, said = REFUSED[what]
    with pytest.raises(InputError, match=said):
        read_vectors_pickle(pickled(value), keys=keys)


def test_weight_distances_are_the_upper_triangles():
    table = np.array([[0.0, 4.0, 0.0], [9.0, 0.0, 2.5], [0.0, 0.0, 0.0]])
    found = weight_table({"410m": table}, [0, 10, 20], "EleutherAI/pythia-{}")
    assert found.to_dict("records") == [
        {"trajectory": "pythia-410m", "step_from": 0, "step": 10, "squared_distance": 4.0},
        {"trajectory": "pythia-410m", "step_from": 10, "step": 20, "squared_distance": 2.5},
    ]
    for held, said in (
        ({"1b": np.zeros((2, 2))}, r"The distances of 1b have the shape \(2, 2\)"),
        ({"1b": np.full((3, 3), np.nan)}, "not all finite"),
        ([1], "no dictionary of names and arrays"),
    ):
        with pytest.raises(InputError, match=said):
            weight_table(held, [0, 10, 20])
