"""Whoever reads a model's weights judges its files by one rule, in one sentence."""

from __future__ import annotations

import json

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.model.weight_files import read_header, weight_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
from tests.scoring.model_files import model_files, safetensors

READERS = (
    local_files,
    open_checkpoint,
    lambda folder: load_model(folder, "float32", "cpu", ScoringSettings()),
)


@pytest.mark.parametrize("reader", READERS, ids=["local_files", "open_checkpoint", "load_model"])
@pytest.mark.parametrize(
    ("added", "told"),
    [
        ({"model.pt": b"\x80\x04"}, "in no file that is read, only in model.pt"),
        ({"other.bin": b"\x80\x04"}, "in no file that is read, only in other.bin"),
        ({"adapter_config.json": b'{"base_model_name_or_path": "o/b"}'}, "PEFT adapter of o/b"),
        ({}, "has no weights (model.safetensors)."),
    ],
)
def test_other_pickles_adapters_and_no_weights_are_refused_alike(tmp_path, reader, added, told):
    files = model_files() | added
    del files["model.safetensors"]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        reader(tmp_path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(repr(str(tmp_path)))


def test_missing_shards_are_counted(tmp_path):
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "x.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    there = ["model.safetensors.index.json", "one.safetensors"]
    with pytest.raises(InputError, match=r"The model 'm' lacks .* two.safetensors and 1 more; "):
        weight_files(str(tmp_path), there, "the model 'm'")


def test_a_header_is_what_stands_before_the_data(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors())
    tensors, header = read_header(path, "m")
    assert tensors == {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    assert len(safetensors()) == 8 + len(header) + 16
