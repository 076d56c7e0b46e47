"""Pickles are read by an unpickler that runs nothing; the authors' shapes become vectors."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.exchange import in_file, pickles, released
from mlflow_modelmap.drivers.exchange.labels import Labels, read_names, read_parents, read_types
from mlflow_modelmap.drivers.exchange.pickles import read_pickle
from mlflow_modelmap.drivers.exchange.released import read_vectors_pickle, weight_table
from tests import forking


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
def test_what_numpy_writes_is_read_to_the_bit(pickled, protocol):
    square = np.random.default_rng(0).standard_normal((6, 4))
    cube = square.reshape(2, 3, 4)
    arrays = {
        "float64": square,
        "float32": square.astype(np.float32),
        "float16": square.astype(np.float16),
        "other end first": square.astype(">f8"),
        "int64": np.arange(300) * -(2**40),
        "uint8": np.arange(200, dtype=np.uint8),
        "truth": square > 0,
        "Fortran": np.asfortranarray(square),
        "axes in another order": cube.transpose(2, 0, 1),
        "not contiguous": square[::2, 1:3],
        "read-only": np.frombuffer(b"12345678", dtype="<f8"),
        "no numbers": np.zeros(0),
        "no numbers, wide": np.zeros((0, 4)),
        "no dimension": np.array(2.5),
        "scalar": np.float64(2.5),
        "whole scalar": np.int32(7),
        "again": square,
    }
    nested = OrderedDict({np.int64(1): square[0], 0: None})
    read = read_pickle(pickled({**arrays, "by number": nested}, protocol))
    assert list(read) == [*arrays, "by number"]
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype, name
        np.testing.assert_array_equal(read[name], array, err_msg=name)
    assert list(read["by number"]) == ["1", "0"]
    np.testing.assert_array_equal(read["by number"]["1"], square[0])
    assert read["by number"]["0"] is None
    np.testing.assert_array_equal(read_pickle(pickled(square, protocol)), square)
    older = pickled(square, 3)
    older.write_bytes(older.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    np.testing.assert_array_equal(read_pickle(older), square)


def test_lists_of_numbers_are_vectors(pickled):
    held = read_vectors_pickle(pickled({"a": [-1.5, -2, np.float64(-3)], "b": (-1.0, -2.0, -4.0)}))
    assert held.values.tolist() == [[-1.5, -2, -3], [-1, -2, -4]]


class Array:
    """Pickled as numpy pickles an array, with any state."""

    def __init__(self, *state, of=np.ndarray):
        self.state, self.of = state, of

    def __reduce__(self):
        return np.zeros(1).__reduce__()[0], (self.of, (0,), b"b"), self.state


class Strided:
    def __reduce__(self):
        return np.ndarray, ((40_000, 40_000), np.dtype("f8"), bytes(8), 0, (0, 0))


class Dtype:
    """As numpy pickles a dtype, with any state; an object field without its flag is a pointer."""

    def __init__(self, flags):
        self.flags = flags

    def __reduce__(self):
        state = (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, self.flags)
        return np.dtype, ("V8", False, True), state


F8 = np.dtype("f8")
DEEP = [1.0]
for _ in range(9):
    DEEP = [DEEP] * 10
LOOP: dict = {}
LOOP["a"] = LOOP
ONE = np.zeros(2)
SET_ON_A_CLASS = b"\x80\x02cnumpy\nndarray\nN}X\x01\x00\x00\x00xI7\ns\x86b."
HOSTILE = {
    "strides of 0": ({"a": Strided()}, "holds something that is no array of numbers"),
    "pointers": ({"a": Array(1, (2,), Dtype(1), False, b"A" * 16)}, "type 'V8'; give arrays"),
    "few bytes": ({"a": Array(1, (10**6, 10**6), F8, False, bytes(8))}, "in 8 bytes, which does"),
    "a negative size": ({"a": Array(1, (-1, -1), F8, False, bytes(8))}, "shape that none can"),
    "a subclass": ({"a": Array(1, (1,), F8, False, bytes(8), of=np.dtype)}, "no plain array"),
    "objects": ({"a": np.array([None])}, "type 'O8'; give arrays of numbers"),
    "words": ({"a": np.array(["x"])}, "type 'U1'; give arrays of numbers"),
    "a table": (pd.DataFrame({"a": [1.0]}), r"asks for pandas\S+, which is no part of an array"),
    "lists in lists": ({"a": DEEP}, "something else than arrays and flat lists"),
    "a loop": ({"a": LOOP}, "something else than arrays and flat lists"),
    "truth values": ({"a": [True]}, "something else than arrays and flat lists"),
    "a tuple for a name": ({(1, 2): F8}, "a key that is neither"),
    "a long name": ({"x" * 1001: None}, "a key that is neither"),
    "state of a class": (SET_ON_A_CLASS, "sets the state of something that is no array"),
    "a large memo": (b"\x80\x02Nr\xff\xff\xff\xff.", "whose numbers are out of order"),
    "bytes again and again": (
        b"\x80\x02c_codecs\nencode\nX\xff\0\0\0" + b"a" * 255 + b"X\6\0\0\0latin1\x86q\0R"
        + b"c_codecs\nencode\nh\0R" * 9 + b".",
        "the same bytes again and again",
    ),
    "an object made": (b"\x80\x02cnumpy\nndarray\n)\x81.", "makes something by NEWOBJ"),
    "cut": (pickle.dumps(np.zeros(9), 4)[:-30], "is a pickle that is cut short"),
    "a giant length": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fabc.", "that is cut short"),
    "a giant text": (b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0fabc.", "that is cut short"),
    "a long line": (b"\x80\x02c" + b"a" * 20_000 + b"\nb\n.", "is no pickle of arrays"),
    "a long number": (b"\x80\x02}X\1\0\0\0a]I" + b"9" * 9_000 + b"\nas.", "is no pickle of arrays"),
    "a number without end": ({"a": [10**400]}, "is no pickle of arrays"),
    "a text of four bytes a letter": ({"a" * 9_000 + "\U0001f600": None}, "has a long text"),
    "one key twice": (b"\x80\x02}(K\1NG?\xf0\0\0\0\0\0\0Nu.", "has the key 1 twice"),
    "a key without end": ({float("inf"): ONE}, "a key that is neither"),
    "no code": (b"\x80\x02\xff.", "it has the code b'.xff'"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_pickles_are_one_sentence(pickled, what):
    value, said = HOSTILE[what]
    file = pickled(value)
    if isinstance(value, bytes):
        file.write_bytes(value)
    with pytest.raises(InputError, match=said):
        read_pickle(file)


def test_state_is_set_on_no_class(pickled):
    file = pickled(None)
    file.write_bytes(b"\x80\x02cpandas\nIndex\nN}X\x06\x00\x00\x00zzztopI7\ns\x86b.")
    with pytest.raises(InputError, match=r"asks for pandas\.Index"):
        read_pickle(file)
    assert not hasattr(pd.Index, "zzztop")


def test_nothing_is_damaged_by_a_type_with_pointers(pickled):
    """It was a crash of the process once the file had been refused, so it is tried in another."""
    file = pickled({"a": Array(1, (2,), Dtype(1), False, b"A" * 16)})
    code = (
        "import sys\n"
        "from mlflow_modelmap.drivers.exchange.pickles import read_pickle\n"
        "try: read_pickle(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print('alive')\n"
    )
    done = forking.run("-c", code, str(file))
    assert (done.returncode, done.stdout.split()) == (0, ["InputError", "alive"]), done.stderr


def test_a_deep_pickle_is_refused(pickled):
    file = pickled(None)
    file.write_bytes(b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns.")
    with pytest.raises(InputError, match="a key that is neither"):
        read_pickle(file)


def test_one_array_many_times_is_not_copied_before_its_size_is_known(pickled, monkeypatch):
    monkeypatch.setattr(released, "LARGEST", in_file.Limit(100_000, 10, "the test"))
    vector = np.zeros(1000)
    with pytest.raises(InputError, match=r"The numbers take 0\.2 MB, and the test reads at most"):
        read_vectors_pickle(pickled({f"m{k}": vector for k in range(20)}))
    whole = np.zeros((20, 1000), dtype=np.int8)
    with pytest.raises(InputError, match=r"The numbers take 0\.2 MB, and the test reads at most"):
        read_vectors_pickle(pickled(whole), names=[f"m{k}" for k in range(20)])
    with pytest.raises(InputError, match=r"The numbers take 0\.9 MB, and the test reads at most"):
        weight_table({f"m{k}": np.zeros((3, 3)) for k in range(3000)}, [0, 1, 2])
    monkeypatch.setattr(pickles, "LARGEST", in_file.Limit(100_000, 50, "the test"))
    steps = dict.fromkeys(range(10), vector)
    with pytest.raises(InputError, match="holds more than 50 vectors"):
        read_pickle(pickled({f"m{k}": steps for k in range(20)}))


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


REFUSED = {
    "by number, of what": ({"a": {0: ONE}}, None, "say with --keys step or --keys layer"),
    "not by number": ({"a": ONE}, "step", "leave out --keys"),
    "some by number": ({"a": {0: ONE}, "b": ONE}, "step", "'b' in .* holds no dictionary by step"),
    "another length": ({"a": ONE, "b": np.zeros(3)}, None, r"'b' has .* shape \(3,\), where 'a'"),
    "a matrix": ({"a": np.zeros((2, 2))}, None, "'a' holds a table .* distances of weights with"),
    "a matrix behind": ({"b": ONE, "a": np.zeros((2, 2))}, None, "'a' has log-likelihoods of type"),
    "truth values": ({"a": np.array([True])}, None, "'a' has log-likelihoods of type bool"),
    "a number": ({"a": -3.5}, None, r"'a' has log-likelihoods of type float64 and shape \(\)"),
    "a number for a name": ({1: ONE}, None, "has the number 1 where a name is due"),
    "two ways to write a step": ({"a": {1: ONE, "1": ONE}}, "step", "has the key '1' twice"),
    "letters for a step": ({"a": {"x": ONE}}, "step", "has the step 'x'"),
    "half a step": ({"a": {1.5: ONE}}, "step", r"has the step '1\.5'"),
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
    both = weight_table({"x/1b": table, "y/1b": table, "x/2b": table}, [0, 10, 20])
    assert both["trajectory"].unique().tolist() == ["x/1b", "y/1b", "2b"]  # as vectors' are called
    for held, said in (
        ({"1b": np.zeros((2, 2))}, r"The distances of 1b have the shape \(2, 2\)"),
        ({"1b": np.full((3, 3), np.nan)}, "not all finite"),
        ([1], "no dictionary of names and arrays"),
    ):
        with pytest.raises(InputError, match=said):
            weight_table(held, [0, 10, 20])
