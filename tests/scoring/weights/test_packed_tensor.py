"""Weights that GPTQ or AWQ packed are code less zero, times scale, whatever piece is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
from mlflow_modelmap.scoring.weights.squared_distances import squared_distances
from tests import tiny
from tests.scoring.weights.packing import packed, packed_by_awq

OUTPUTS, INPUTS, GROUP = 96, 128, 32


def written(folder, tensors, said, model_type="llama"):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": model_type, "quantization_config": said}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    return folder


def layer(bits, method, *, sorted_columns=False, less=1, seed=0, outputs=OUTPUTS, inputs=INPUTS):
    """Tensors of a packed layer, and its matrix in float64, element by element."""
    rng = np.random.default_rng(seed)
    groups = -(-inputs // GROUP)
    codes = rng.integers(0, 2**bits, (inputs, outputs))
    zeros = rng.integers(1, 2**bits, (groups, outputs))
    scales = torch.from_numpy(rng.uniform(1e-3, 1e-2, (groups, outputs))).half()
    group = np.arange(inputs) // GROUP
    if sorted_columns:
        group = rng.permutation(group)
    matrix = np.array(
        [
            [
                (int(codes[i, o]) - int(zeros[group[i], o])) * float(scales[group[i], o])
                for i in range(inputs)
            ]
            for o in range(outputs)
        ]
    )
    if method == "gptq":
        tensors = {"qweight": packed(codes, bits, 0), "qzeros": packed(zeros - less, bits, 1)}
    else:
        tensors = {"qweight": packed_by_awq(codes), "qzeros": packed_by_awq(zeros)}
    tensors["scales"] = scales
    if sorted_columns:
        tensors["g_idx"] = torch.from_numpy(group.astype(np.int32))
    return {f"q.{name}": tensor for name, tensor in tensors.items()}, matrix


def is_read(folder, matrix, name="q.weight"):
    tensor = open_checkpoint(folder).parameters[name]
    assert tensor.shape == matrix.shape
    whole = tensor.values()
    np.testing.assert_allclose(whole, matrix.ravel(), rtol=1e-12, atol=0)
    rng = np.random.default_rng(1)
    for start in rng.integers(0, matrix.size - 1, 20):
        count = int(rng.integers(1, matrix.size - start))
        assert np.array_equal(tensor.values(int(start), count), whole[start : start + count])


@pytest.mark.parametrize("sorted_columns", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq(bits, sorted_columns, tmp_path):
    tensors, matrix = layer(bits, "gptq", sorted_columns=sorted_columns)
    said = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "sym": False}
    is_read(written(tmp_path / "one", tensors, said), matrix)
    tensors, matrix = layer(bits, "gptq", sorted_columns=sorted_columns, less=0)
    said["checkpoint_format"] = "gptq_v2"
    is_read(written(tmp_path / "two", tensors, said), matrix)


def test_gptq_of_one_group_and_as_it_was_first_described(tmp_path):
    tensors, matrix = layer(4, "gptq", inputs=GROUP)
    folder = written(tmp_path, tensors, {})
    is_read(folder, matrix)
    (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": -1}))
    is_read(folder, matrix)


def test_inputs_that_fill_no_last_group(tmp_path):
    tensors, matrix = layer(4, "gptq", inputs=2 * GROUP + 8)
    is_read(written(tmp_path, tensors, {"quant_method": "gptq", "group_size": GROUP}), matrix)


def test_a_zero_of_none_in_the_first_version_is_added_up_as_gptqmodel_does(tmp_path):
    """A zero of 0 is stored as 15; one more is 0 again, and carries into the next code."""
    tensors, _ = layer(4, "gptq")
    tensors["q.qzeros"] = packed(np.tile([15, 3, 7, 7, 7, 7, 7, 7], (4, OUTPUTS // 8)), 4, 1)
    folder = written(tmp_path, tensors, {"quant_method": "gptq"})
    codes = [[(int(w) >> 4 * k) & 15 for k in range(8)] for w in tensors["q.qweight"][0, :2]]
    scales = tensors["q.scales"][0].double()
    read = open_checkpoint(folder).parameters["q.weight"].values().reshape(OUTPUTS, INPUTS)
    assert read[0, :8].tolist() == pytest.approx([c * float(scales[0]) for c in codes[0]])
    assert read[1, :8].tolist() == pytest.approx([(c - 5) * float(scales[1]) for c in codes[1]])


@pytest.mark.parametrize("said", [{"version": "gemm"}, {"format": "gemm"}, {}])
def test_awq(said, tmp_path):
    tensors, matrix = layer(4, "awq")
    is_read(written(tmp_path, tensors, {"quant_method": "awq", **said}), matrix)


def test_a_bias_of_zeros_counts_where_every_checkpoint_has_it(tmp_path):
    tensors, _ = layer(4, "gptq")
    plain = {"q.weight": torch.zeros(OUTPUTS, INPUTS)}
    zeros, ones = ({"q.bias": fill(OUTPUTS)} for fill in (torch.zeros, torch.ones))
    kinds = {
        "plain": plain,
        "plain, zeros": plain | zeros,
        "packed": tensors,
        "packed, zeros": tensors | zeros,
        "packed, ones": tensors | ones,
    }
    paths = {name: written(tmp_path / name, held, {}) for name, held in kinds.items()}

    def compared(*names):
        found = squared_distances([paths[name] for name in names])
        return list(found.names), found.left_out.get("q.bias")

    both, lacking = ["q.bias", "q.weight"], "zeros, and not in every checkpoint"
    assert compared("plain", "packed, zeros") == (["q.weight"], lacking)
    assert compared("packed, zeros", "packed") == (["q.weight"], lacking)
    assert compared("packed", "packed, zeros", "plain") == (["q.weight"], lacking)
    assert compared("plain, zeros", "packed, zeros") == (both, None)
    assert compared("packed, ones", "packed, zeros") == (both, None)
    for one, other in (("plain", "packed, ones"), ("packed", "plain, zeros")):
        with pytest.raises(InputError, match=r"'q\.bias' is in .* but not in"):
            compared(one, other)
    with pytest.raises(InputError, match=r"'q\.bias' is in .*packed, ones' but not in .*packed'"):
        compared("packed, ones", "packed, zeros", "packed")


def test_few_outputs_are_told_by_what_is_said_or_by_what_alone_fits(tmp_path):
    for outputs, method in ((8, "awq"), (16, "awq"), (24, "awq"), (8, "gptq"), (16, "gptq")):
        tensors, matrix = layer(4, method, outputs=outputs, inputs=64)
        said = {"quant_method": method, "bits": 4, "group_size": GROUP}
        is_read(written(tmp_path / "x", tensors, said), matrix)
    del said["bits"]
    with pytest.raises(InputError, match="does not fit it"):
        open_checkpoint(written(tmp_path / "x", tensors, said))


def test_single_layers_may_have_other_bits_than_are_said(tmp_path):
    tensors, matrix = layer(8, "gptq")
    said = {"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*q": {"bits": 8}}}
    is_read(written(tmp_path, tensors, said), matrix)


@pytest.mark.parametrize("size", [10**30, 2**63, -1, "32", None, True])
def test_the_size_of_groups_may_be_said_in_any_way(size, tmp_path):
    tensors, matrix = layer(4, "gptq", inputs=GROUP)
    is_read(written(tmp_path, tensors, {"quant_method": "gptq", "group_size": size}), matrix)


def test_a_parameter_that_is_there_twice_is_refused(tmp_path):
    tensors, _ = layer(4, "gptq")
    tensors["q.weight"] = torch.zeros(OUTPUTS, INPUTS)
    with pytest.raises(InputError, match=r"of the quantised 'q\.qweight' does not fit it"):
        open_checkpoint(written(tmp_path, tensors, {}))


def test_what_is_said_is_part_of_the_identity(tmp_path):
    tensors, _ = layer(4, "gptq")
    first, second = {"quant_method": "gptq"}, {"checkpoint_format": "gptq_v2"}
    folder = written(tmp_path, tensors, first)
    before = open_checkpoint(folder).identity
    assert open_checkpoint(folder).identity == before
    (folder / "config.json").write_text(json.dumps({"quantization_config": first | second}))
    assert open_checkpoint(folder).identity != before
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        open_checkpoint(folder)


def test_the_distance_of_a_model_to_its_copy_is_what_rounding_moved(tmp_path):
    plain = tiny.make_model(
        tmp_path / "plain", "llama", hidden_size=64, intermediate_size=128, num_attention_heads=4
    )
    tensors, moved = {}, 0.0
    for name, weight in load_file(plain / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = weight
            continue
        groups = weight.double().reshape(weight.shape[0], -1, 16)
        scales = (groups.abs().amax(2) / 7).half().double()
        codes = (groups / scales[:, :, None]).round().clamp(-8, 7)
        moved += float(((codes * scales[:, :, None]) - groups).square().sum())
        layer_ = name.removesuffix(".weight")
        given = (codes + 8).long().reshape(weight.shape).T.numpy()
        tensors[f"{layer_}.qweight"] = packed(given, 4, 0)
        zeros = np.full((scales.shape[1], scales.shape[0]), 7)
        tensors[f"{layer_}.qzeros"] = packed(zeros, 4, 1)
        tensors[f"{layer_}.scales"] = scales.T.half()
    said = {"quant_method": "gptq", "bits": 4, "group_size": 16}
    copy = written(tmp_path / "copy", tensors, said)
    found = squared_distances([plain, copy])
    assert found.squared[0, 1] == pytest.approx(moved, rel=1e-9)
    assert moved > 0


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q.qzeros", torch.zeros(4, 5, dtype=torch.int32)),
        ("q.qzeros", torch.zeros(3, 12, dtype=torch.int32)),
        ("q.qzeros", torch.zeros(4, 12)),
        ("q.qzeros", torch.zeros(48, dtype=torch.int32)),
        ("q.scales", torch.zeros(4, OUTPUTS, dtype=torch.int8)),
        ("q.scales", torch.zeros(0, OUTPUTS)),
        ("q.scales", torch.zeros(4, 40)),
        ("q.qweight", torch.zeros(16, 95, dtype=torch.int32)),
        ("q.qweight", torch.zeros(0, OUTPUTS, dtype=torch.int32)),
        ("q.g_idx", torch.full((INPUTS,), 4, dtype=torch.int32)),
        ("q.g_idx", torch.full((INPUTS,), -1, dtype=torch.int32)),
        ("q.g_idx", torch.zeros(INPUTS)),
        ("q.g_idx", torch.zeros(5 * INPUTS, dtype=torch.int32)),
        ("q.g_idx", torch.zeros(0, dtype=torch.int32)),
    ],
    ids=lambda value: value if isinstance(value, str) else str(list(value.shape)),
)
def test_what_does_not_fit_is_one_sentence(name, other, tmp_path):
    tensors, _ = layer(4, "gptq")
    folder = written(tmp_path, tensors | {name: other}, {"quant_method": "gptq"})
    with pytest.raises(InputError, match=r"says of the quantised 'q.qweight' does not fit it; "):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "said",
    [
        {"quant_method": "gptq", "checkpoint_format": "marlin"},
        {"quant_method": "awq", "version": "gemv"},
        {"quant_method": "auto-round"},
        {"quant_method": ["gptq"]},
        {"quant_method": "compressed-tensors", "format": "marlin-24"},
        {"quant_method": "Compressed-Tensors", "config_groups": {"g": {"format": "mxfp6"}}},
        {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-bitmask"}},
    ],
    ids=str,
)
def test_other_formats_are_named(said, tmp_path):
    tensors, _ = layer(4, "gptq")
    with pytest.raises(InputError, match=r"(in|by) .+, which is not read; weight distan"):
        open_checkpoint(written(tmp_path, tensors, said))


def test_architectures_whose_matrices_lie_turned_are_refused(tmp_path):
    tensors, _ = layer(4, "gptq")
    with pytest.raises(InputError, match="matrices of gpt2 lie turned"):
        open_checkpoint(written(tmp_path, tensors, {"quant_method": "gptq"}, "gpt2"))
