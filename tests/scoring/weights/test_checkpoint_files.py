"""The parameters of a checkpoint are found in whatever files it has, and broken ones named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
from mlflow_modelmap.scoring.weights.squared_distances import (
    squared_distances,
)
from tests.scoring.weights.checkpoints import drifting, save


def test_buffers_in_some_files_are_left_out_and_named(tmp_path):
    states = list(drifting(2))
    plain = save(tmp_path / "plain", states[0])
    extra = {
        "layers.0.attention.bias": torch.ones(1, 1, 8, 8),
        "layers.0.attention.masked_bias": torch.tensor(-1e9),
        "layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
        "positions": torch.arange(4),
    }
    old = save(tmp_path / "old", {**states[1], **extra})
    found = squared_distances([plain, old])
    bare = save(tmp_path / "bare", states[1])
    assert found.squared[0, 1] == squared_distances([plain, bare]).squared[0, 1]
    assert found.left_out == {**dict.fromkeys(extra, "buffer"), "positions": "integer"}
    assert "attention.bias" not in open_checkpoint(plain).left_out


def test_a_bias_of_an_attention_that_is_a_parameter_stays(tmp_path):
    folder = save(tmp_path / "x", {"attn.bias": torch.ones(8), "w": torch.ones(2)})
    assert set(open_checkpoint(folder).parameters) == {"attn.bias", "w"}


def test_a_missing_shard_is_named(tmp_path):
    state = next(drifting(1))
    shards = {"m-1.safetensors": ["a.weight", "scalar", "b.bias"], "m-2.safetensors": ["b.weight"]}
    folder = save(tmp_path / "x", state, shards)
    (folder / "m-2.safetensors").unlink()
    with pytest.raises(InputError, match=r"lacks the weight file m-2\.safetensors"):
        open_checkpoint(folder)


def test_a_shard_without_its_tensor_is_named(tmp_path):
    state = next(drifting(1))
    shards = {"m-1.safetensors": ["a.weight", "scalar", "b.bias"], "m-2.safetensors": ["b.weight"]}
    folder = save(tmp_path / "x", state, shards)
    save_file({"other": torch.ones(1)}, folder / "m-2.safetensors")
    with pytest.raises(InputError, match=r"names 'b.weight' in 'm-2.safetensors'"):
        open_checkpoint(folder)


def test_pickles_are_refused_with_the_remedy(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04never read")
    with pytest.raises(InputError, match="only as pickles"):
        open_checkpoint(tmp_path)


def test_an_adapter_is_no_checkpoint(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    save_file({"lora": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(InputError, match="PEFT adapter"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("cut", [0, 5, 60, -3])
def test_a_damaged_file_is_named(tmp_path, cut):
    folder = save(tmp_path / "x", next(drifting(1)))
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:cut])
    with pytest.raises(InputError, match=r"model.safetensors of .* is damaged"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "../x"}}']
)
def test_a_broken_index_is_named(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(
        InputError, match=r"index.json' (is no readable|cannot be read|names '../x')"
    ):
        open_checkpoint(tmp_path)


def test_quantised_checkpoints_are_refused(tmp_path):
    folder = save(tmp_path / "x", {"q.weight": torch.ones(4, 4, dtype=torch.int8)})
    with pytest.raises(InputError, match="quantised"):
        open_checkpoint(folder)


def test_the_offsets_are_those_of_the_library(tiny_model):
    opened = open_checkpoint(tiny_model)
    with safe_open(tiny_model / "model.safetensors", framework="np") as held:
        for name, tensor in opened.parameters.items():
            out = np.empty(tensor.elements)
            with open(tensor.file, "rb") as file:
                tensor.read_into(file, 0, out)
            assert np.array_equal(out, held.get_tensor(name).ravel().astype(np.float64))
