"""Weights that bitsandbytes stored are what bitsandbytes makes of them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights import bitsandbytes_tensor
from mlflow_modelmap.scoring.weights.bitsandbytes_tensor import _STATE, quantised_in
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
from mlflow_modelmap.scoring.weights.squared_distances import squared_distances
from mlflow_modelmap.scoring.weights.stored_tensor import StoredTensor
from tests import tiny

bnb = pytest.importorskip("bitsandbytes")

WAYS = {
    "int8": {"load_in_8bit": True},
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "nf4 twice": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    },
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny.make_model(
        tmp_path_factory.mktemp("plain"), "llama", hidden_size=64, intermediate_size=192
    )


@pytest.fixture(scope="module", params=WAYS)
def copied(request, plain, tmp_path_factory):
    """A copy as bitsandbytes stores it in two files, and the numbers it computes with."""
    path = tmp_path_factory.mktemp("copied")
    model = AutoModelForCausalLM.from_pretrained(
        plain, quantization_config=BitsAndBytesConfig(**WAYS[request.param]), dtype=torch.float32
    )
    model.save_pretrained(path, max_shard_size="100KB")
    assert (path / "model.safetensors.index.json").exists()
    numbers = {}
    for name, parameter in model.named_parameters():
        if isinstance(parameter, bnb.nn.Params4bit):
            state = parameter.quant_state
            numbers[name] = bnb.functional.dequantize_4bit(parameter.data, state)
        elif isinstance(parameter, bnb.nn.Int8Params):
            numbers[name] = bnb.functional.int8_vectorwise_dequant(parameter.CB, parameter.SCB)
        else:
            numbers[name] = parameter.detach()
    return path, {name: value.double().numpy() for name, value in numbers.items()}


def test_numbers_and_distances_are_those_of_the_library(copied, plain):
    path, numbers = copied
    opened, original = open_checkpoint(path), open_checkpoint(plain)
    assert opened.parameters.keys() == original.parameters.keys()
    quantised = [n for n, t in opened.parameters.items() if t.dtype in ("I8", "U8")]
    assert len(quantised) == 14
    for name, tensor in opened.parameters.items():
        whole = tensor.values()
        np.testing.assert_allclose(whole, numbers[name].ravel(), rtol=2e-6, atol=1e-9)
        for start, count in ((1, 5), (63, 130), (tensor.elements - 7, 7)):  # in any pieces
            if start + count <= tensor.elements:
                assert np.array_equal(tensor.values(start, count), whole[start : start + count])
    said = set(opened.left_out.values())
    assert said == {f"of quantised {name}" for name in quantised}
    found = squared_distances([plain, path])
    expected = sum(
        np.square(original.parameters[name].values() - numbers[name].ravel()).sum()
        for name in original.parameters
    )
    assert found.squared[0, 1] == pytest.approx(expected, rel=1e-5)
    assert found.squared[0, 1] > 0


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": [64, 65]},
        {"shape": "64"},
        {"shape": [-64, -64]},
        {"blocksize": 0},
        {"blocksize": True},
        {"blocksize": 32},
        {"nested_blocksize": 1e9},
        {"nested_offset": "1"},
        {"nested_offset": 10**400},
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_sentence(copied, lie, tmp_path):
    path, _ = copied
    shutil.copytree(path, tmp_path / "x")
    changed = 0
    for file in (tmp_path / "x").glob("*.safetensors"):
        tensors = load_file(file)
        for name in [n for n in tensors if "quant_state" in n]:
            state = json.loads(bytes(tensors[name].tolist()))
            if lie.keys() <= state.keys():
                written = json.dumps({**state, **lie}).encode()
                tensors[name] = torch.tensor(list(written), dtype=torch.uint8)
                changed += 1
        save_file(tensors, file, metadata={"format": "pt"})
    if not changed:
        open_checkpoint(tmp_path / "x")
        return
    with pytest.raises(InputError, match=r"says of the quantised '.*' does not fit it; fetch"):
        open_checkpoint(tmp_path / "x")


def test_bytes_may_be_stored_as_numbers_of_another_kind(plain, tmp_path):
    """As trainings over several processes do, which share out only floats."""
    numbers = {}
    for kind in (torch.uint8, torch.bfloat16, torch.float32):
        how = {**WAYS["nf4 twice"], "bnb_4bit_quant_storage": kind}
        model = AutoModelForCausalLM.from_pretrained(
            plain, quantization_config=BitsAndBytesConfig(**how), dtype=torch.float32
        )
        model.save_pretrained(tmp_path / str(kind))
        opened = open_checkpoint(tmp_path / str(kind))
        numbers[kind] = {name: tensor.values() for name, tensor in opened.parameters.items()}
    plainly = numbers.pop(torch.uint8)
    for other in numbers.values():
        assert other.keys() == plainly.keys() == open_checkpoint(plain).parameters.keys()
        assert all(np.array_equal(other[name], plainly[name]) for name in plainly)


def test_a_layout_of_a_gpu_is_refused(tmp_path):
    tensors = {
        "q.weight": torch.ones(32, 32, dtype=torch.int8),
        "q.SCB": torch.ones(32),
        "q.weight_format": torch.tensor(3, dtype=torch.uint8),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"'q\.weight' in a layout of a GPU"):
        open_checkpoint(tmp_path)
    tensors["q.weight_format"] = torch.tensor(0, dtype=torch.uint8)
    save_file(tensors, tmp_path / "model.safetensors")
    assert open_checkpoint(tmp_path).parameters["q.weight"].values() == pytest.approx(1 / 127)


def test_many_quantised_tensors_are_looked_through_once(monkeypatch):
    names = [f"experts.{n}.weight{part}" for n in range(5000) for part in ("", f"{_STATE}nf4")]
    stored = {name: StoredTensor(name, (2,), "U8", "x", 0) for name in names}
    asked = []
    monkeypatch.setattr(bitsandbytes_tensor, "_state_of", lambda tensor: {})
    monkeypatch.setattr(bitsandbytes_tensor, "_four_bits", lambda t, *_: asked.append(t.name) or t)

    class Counted(dict):
        walks = 0

        def __iter__(self):
            Counted.walks += 1
            return super().__iter__()

    assert len(quantised_in(Counted(stored))) == len(asked) == 5000
    assert Counted.walks == 1


def test_parts_of_another_size_are_one_sentence(copied, tmp_path):
    path, _ = copied
    for part in ("SCB", "absmax", "quant_map", "nested_absmax", "nested_quant_map"):
        folder = tmp_path / part
        shutil.copytree(path, folder)
        cut = 0
        for file in folder.glob("*.safetensors"):
            tensors = load_file(file)
            for name in [n for n in tensors if n.rpartition(".")[2] == part]:
                tensors[name] = tensors[name][1:].clone()
                cut += 1
            save_file(tensors, file, metadata={"format": "pt"})
        if cut:
            with pytest.raises(InputError, match="does not fit it"):
                open_checkpoint(folder)
