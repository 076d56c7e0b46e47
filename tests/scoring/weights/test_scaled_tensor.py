"""Weights stored as FP8, INT8, FP4 or packed integers with scales are code times scale."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
from mlflow_modelmap.scoring.weights.scaled_tensor import FP4
from mlflow_modelmap.scoring.weights.squared_distances import squared_distances
from mlflow_modelmap.scoring.weights.stored_tensor import byte_floats
from tests.scoring.weights.packing import packed
from tests.scoring.weights.test_packed_tensor import is_read, written

FP8 = torch.ones(48, 64).to(torch.float8_e4m3fn)
POWERS = [torch.float8_e8m0fnu] if hasattr(torch, "float8_e8m0fnu") else []
"""Powers of two in a byte, which PyTorch has from 2.7 on."""
BLOCKS = {"quant_method": "fp8", "weight_block_size": [128, 128]}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("F8_E4M3", torch.float8_e4m3fn),
        ("F8_E5M2", torch.float8_e5m2),
        *(("F8_E8M0", dtype) for dtype in POWERS),
    ],
)
def test_bytes_are_the_numbers_that_pytorch_makes_of_them(name, dtype):
    expected = torch.arange(256, dtype=torch.uint8).view(dtype).double().numpy()
    assert np.array_equal(byte_floats(name), expected, equal_nan=True)


@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.bfloat16, *POWERS])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize(
    ("shape", "grid"), [((256, 384), (2, 3)), ((3, 256, 128), (3, 2, 1)), ((256, 128), (1,))]
)
def test_fp8_in_blocks_is_what_transformers_makes_of_it(dtype, scale_dtype, shape, grid, tmp_path):
    fp8 = pytest.importorskip("transformers.integrations.finegrained_fp8")
    library = getattr(fp8, "Fp8Dequantize", None)
    if not hasattr(library, "_dequantize_one"):
        pytest.skip("this transformers takes FP8 apart in another way")
    torch.manual_seed(0)
    codes, scales = (3 * torch.randn(shape)).to(dtype), (torch.rand(grid) + 0.1).to(scale_dtype)
    made = library(None)._dequantize_one(
        codes, scales.reshape(1, 1) if grid == (1,) else scales, torch.float32
    )
    tensors = {"q.weight": codes, "q.weight_scale_inv": scales, "q.input_scale": torch.ones(1)}
    folder = written(tmp_path, tensors | {"k_proj.k_scale": torch.ones(1)}, BLOCKS)
    opened = open_checkpoint(folder)
    assert list(opened.parameters) == ["q.weight"]
    assert opened.left_out == {
        "q.weight_scale_inv": "of quantised q.weight",
        "q.input_scale": "of quantised q.weight",
        "k_proj.k_scale": "of quantised activations",
    }
    exact = codes.double() * _spread(scales.double(), shape, (128, 128))
    is_read(folder, exact.numpy())
    np.testing.assert_allclose(made.double(), exact, rtol=1e-6, atol=0)


def _spread(scales, shape, block):
    """A scale for each number, by repeating: the last blocks of rows and columns may be cut."""
    if scales.numel() == 1:
        return scales.reshape(1, 1).expand(shape)
    rows, columns = block
    wide = scales.repeat_interleave(columns, -1)[..., : shape[-1]]
    return wide.repeat_interleave(rows, -2)[..., : shape[-2], :]


def test_blocks_that_do_not_fill_the_matrix_are_those_of_the_configuration(tmp_path):
    torch.manual_seed(0)
    codes, scales = torch.randn(192, 200).to(torch.float8_e4m3fn), torch.rand(2, 2)
    expected = codes.double() * _spread(scales.double(), codes.shape, (128, 128))
    tensors = {"q.weight": codes, "q.weight_scale_inv": scales}
    is_read(written(tmp_path, tensors, BLOCKS), expected.numpy())
    groups = {"g": {"weights": {"type": "float", "block_structure": [128, 128]}}}
    is_read(written(tmp_path, tensors, {"config_groups": groups}), expected.numpy())


@pytest.mark.parametrize("shape", [(48, 1), (48,), (1,), (), (48, 4)])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_a_scale_a_tensor_a_row_or_a_group_of_columns(dtype, shape, tmp_path):
    torch.manual_seed(0)
    codes, scales = (40 * torch.randn(48, 64)).to(dtype), torch.rand(shape) + 0.1
    spread = scales.double().reshape(-1, 1) if shape == (48,) else scales.double()
    spread = spread.repeat_interleave(16, 1) if shape == (48, 4) else spread
    folder = written(tmp_path, {"q.weight": codes, "q.weight_scale": scales}, {})
    is_read(folder, (codes.double() * spread).numpy())


def test_int8_with_zero_points(tmp_path):
    codes = torch.randint(-128, 128, (48, 64), dtype=torch.int8)
    scales, zeros = torch.rand(48, 2).bfloat16(), torch.randint(-128, 128, (48, 2)).to(torch.int8)
    parts = {"q.weight_scale": scales, "q.weight_zero_point": zeros}
    wide, taken = (t.double().repeat_interleave(32, 1) for t in (scales, zeros))
    folder = written(tmp_path, {"q.weight": codes, **parts}, {})
    is_read(folder, ((codes.double() - taken) * wide).numpy())


def fp4(rows, columns):
    """Pairs of FP4 in bytes, and the numbers that they stand for."""
    codes = torch.randint(0, 16, (rows, columns))
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
    assert FP4.tolist() == table.tolist()
    numbers = table[codes % 8] * torch.where(codes < 8, 1.0, -1.0).double()
    return (codes[:, ::2] + 16 * codes[:, 1::2]).to(torch.uint8), numbers


def test_fp4_of_compressed_tensors_and_of_modelopt(tmp_path):
    torch.manual_seed(0)
    pairs, numbers = fp4(48, 64)
    scales = (torch.rand(48, 4) * 400 + 1).to(torch.float8_e4m3fn)
    wide = scales.double().repeat_interleave(16, 1)
    parts = {"q.weight_scale": scales, "q.weight_global_scale": torch.tensor([2500.0])}
    nvfp4 = {"q.weight_packed": pairs, "q.input_global_scale": torch.ones(1), **parts}
    folder = written(tmp_path / "nvfp4", nvfp4, {"quant_method": "compressed-tensors"})
    is_read(folder, (numbers * wide / 2500.0).numpy())
    assert set(open_checkpoint(folder).left_out) == set(nvfp4)
    parts = {"q.weight_scale": scales, "q.weight_scale_2": torch.tensor(0.125)}
    folder = written(tmp_path / "modelopt", {"q.weight": pairs, **parts}, {})
    is_read(folder, (numbers * wide * 0.125).numpy())
    powers = torch.randint(110, 130, (48, 2), dtype=torch.uint8)
    wide = torch.exp2(powers.double() - 127).repeat_interleave(32, 1)
    parts = {"q.weight_packed": pairs, "q.weight_scale": powers}
    is_read(written(tmp_path / "mxfp4", parts, {}), (numbers * wide).numpy())


@pytest.mark.parametrize("sorted_columns", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_integers_packed_by_compressed_tensors(bits, zeros, sorted_columns, tmp_path):
    rng = np.random.default_rng(0)
    rows, columns, groups = 50, 72, 3
    codes = rng.integers(0, 2**bits, (rows, columns))
    scales = rng.uniform(0.1, 1, (rows, groups)).astype(np.float32)
    taken = rng.integers(0, 2**bits, (rows, groups))
    group = np.arange(columns) // (columns // groups)
    tensors = {
        "q.weight_packed": packed(codes, bits, 1),
        "q.weight_scale": torch.from_numpy(scales),
        "q.weight_shape": torch.tensor([rows, columns]),
        "q.weight_g_idx": torch.full((columns,), -1, dtype=torch.int32),
    }
    if sorted_columns:
        group = rng.permutation(group)
        tensors["q.weight_g_idx"] = torch.from_numpy(group.astype(np.int32))
    less = np.full((rows, groups), 2 ** (bits - 1))
    if zeros:
        tensors["q.weight_zero_point"] = packed(taken, bits, 0)
        less = taken
    folder = written(tmp_path, tensors, {"quant_method": "compressed-tensors"})
    is_read(folder, (codes - less[:, group]) * scales.astype(float)[:, group])


GOOD = {
    "q.weight_packed": torch.zeros(48, 8, dtype=torch.int32),
    "q.weight_scale": torch.ones(48, 4),
    "q.weight_shape": torch.tensor([48, 64]),
}


@pytest.mark.parametrize(
    "lie",
    [
        {"q.weight_shape": torch.tensor([48, 65])},
        {"q.weight_shape": torch.tensor([47, 64])},
        {"q.weight_shape": torch.tensor([64])},
        {"q.weight_shape": torch.tensor([48.0, 64.0])},
        {"q.weight_shape": torch.tensor([-48, -64])},
        {"q.weight_scale": torch.ones(48, 5)},
        {"q.weight_scale": torch.ones(47, 4)},
        {"q.weight_scale": torch.ones(0, 4)},
        {"q.weight_scale": torch.ones(4, 48, 4)},
        {"q.weight_scale": torch.ones(48, 4, dtype=torch.int32)},
        {"q.weight_zero_point": torch.zeros(48, 4, dtype=torch.int32)},
        {"q.weight_zero_point": torch.zeros(5, 4, dtype=torch.int32)},
        {"q.weight_zero_point": torch.zeros(48, 3, dtype=torch.int8)},
        {"q.weight_zero_point": torch.zeros(48, 4, dtype=torch.int16)},
        {"q.weight_g_idx": torch.zeros(63, dtype=torch.int32)},
        {"q.weight_g_idx": torch.full((64,), 4, dtype=torch.int32)},
        {"q.weight_g_idx": torch.tensor([-1, *[0] * 63], dtype=torch.int32)},
        {"q.weight_global_scale": torch.ones(2)},
        {"q.weight_global_scale": torch.zeros(1)},
        {"q.weight_global_scale": torch.full((1,), torch.nan)},
        {"q.weight_packed": torch.zeros(48, dtype=torch.int32)},
    ],
    ids=lambda lie: " ".join(f"{k} {list(v.shape)} {v.dtype}" for k, v in lie.items()),
)
def test_what_does_not_fit_is_one_sentence(lie, tmp_path):
    open_checkpoint(written(tmp_path / "good", GOOD, {}))
    with pytest.raises(InputError, match=r"of the quantised 'q\.weight_packed' does not fit it; "):
        open_checkpoint(written(tmp_path / "lie", GOOD | lie, {}))


def test_blocks_that_cannot_be_told_are_one_sentence(tmp_path):
    tensors = {
        "q.weight": torch.zeros(200, 200).to(torch.float8_e4m3fn),
        "q.weight_scale_inv": torch.ones(3, 3),
    }
    for said in (
        {},
        {"weight_block_size": [64, 0]},
        {"weight_block_size": "ab"},
        {"weight_block_size": [64, None]},
        {"config_groups": {"g": {"weights": {"block_structure": [1, 2, 3]}}}},
        {"config_groups": [1]},
        7,
    ):
        with pytest.raises(InputError, match="does not fit it"):
            open_checkpoint(written(tmp_path, tensors, said))


def test_codes_without_a_scale_are_refused_as_before(tmp_path):
    for dtype, said in ((torch.float8_e4m3fn, "F8_E4M3"), (torch.int8, "I8")):
        save_file({"q.weight": torch.ones(4, 4).to(dtype)}, tmp_path / "model.safetensors")
        with pytest.raises(
            InputError, match=rf"'q\.weight' as {said}, so it is quantised; .* GPTQ"
        ):
            open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"text_config": {"quantization_config": BLOCKS}},
        {
            "compression_config": {
                "config_groups": {"g": {"weights": {"block_structure": "128x128"}}}
            }
        },
    ],
    ids=["of the text in it", "as it was called once"],
)
def test_the_configuration_is_found_where_it_may_be(config, tmp_path):
    torch.manual_seed(0)
    codes, scales = torch.randn(192, 192).to(torch.float8_e4m3fn), torch.rand(2, 2)
    expected = codes.double() * _spread(scales.double(), codes.shape, (128, 128))
    folder = written(tmp_path, {"q.weight": codes, "q.weight_scale_inv": scales}, {})
    with pytest.raises(InputError, match="does not fit it"):  # blocks of 96 could be meant
        open_checkpoint(folder)
    (folder / "config.json").write_text(json.dumps(config))
    is_read(folder, expected.numpy())
    said = {"weight_block_size": [10**30, 128]}
    wide = codes.double() * _spread(scales[:1].double(), codes.shape, (192, 128))
    tensors = {"q.weight": codes, "q.weight_scale_inv": scales[:1]}
    is_read(written(tmp_path, tensors, said), wide.numpy())


def test_scales_of_fused_experts_by_all_their_names(tmp_path):
    codes = torch.randn(2, 64, 32).to(torch.float8_e4m3fn)
    for scale in ("gate_up_proj_scale", "gate_up_proj_weight_scale"):
        tensors = {
            "experts.gate_up_proj": codes,
            f"experts.{scale}": torch.full((2, 1, 1), 0.5),
            "experts.gate_up_proj_activation_scale": torch.ones(2),
            "experts.gate_up_proj_input_scale": torch.ones(2),
        }
        folder = written(tmp_path, tensors, {"quant_method": "fp8"})
        is_read(folder, codes.double().numpy() / 2, "experts.gate_up_proj")
        assert list(open_checkpoint(folder).parameters) == ["experts.gate_up_proj"]


def test_scales_of_a_cache_are_no_parameters_of_plain_weights(tmp_path):
    tensors = {"q.weight": torch.ones(4, 4), "attn.k_scale": torch.tensor(0.5)}
    tensors["model.output_scale"] = torch.ones(1)  # which may be learnt
    tensors["norm.k_scale"] = torch.ones(4)
    save_file(tensors, tmp_path / "model.safetensors")
    opened = open_checkpoint(tmp_path)
    assert opened.left_out == {"attn.k_scale": "of quantised activations"}
    assert list(opened.parameters) == ["model.output_scale", "norm.k_scale", "q.weight"]


def test_plain_weights_beside_masks_and_tables_need_no_configuration(tmp_path):
    byte = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
    tensors = {
        "h.0.crossattention.bias": byte,
        "h.0.attn.bias": byte.bool(),
        "h.0.attn.causal_mask": byte.clone(),
        "freqs_cis": torch.ones(8, 4, dtype=torch.complex64),
        "gate.tid2eid": torch.ones(100, 6, dtype=torch.int32),
        "position_ids": torch.arange(4).reshape(1, 4),
        "q.weight": torch.ones(4, 4),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{")
    opened = open_checkpoint(tmp_path)
    assert list(opened.parameters) == ["q.weight"]
    assert set(opened.left_out.values()) == {"buffer", "integer"}
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "bitnet"}}')
    assert open_checkpoint(tmp_path) == opened


@pytest.mark.parametrize("method", ["modelopt", "modelopt_mixed", "ModelOpt_FP8"])
def test_modelopt_by_all_its_names(method, tmp_path):
    tensors = {"q.weight": FP8, "q.weight_scale": torch.tensor(0.5)}
    folder = written(tmp_path, tensors, {"quant_method": method})
    is_read(folder, np.full((48, 64), 0.5))


CODES = torch.ones(48, 64, dtype=torch.uint8)


@pytest.mark.parametrize(
    "tensors",
    [
        {"experts.gate_up_proj_blocks": CODES, "experts.gate_up_proj_scales": CODES.clone()},
        {"q.W_q": CODES},
        {"q.weight._data": CODES.to(torch.int8)},
        {"q.B": CODES.to(torch.int32), "q.s": torch.ones(4, 48)},
        {"q.codes": CODES.to(torch.int16).reshape(48, 32, 2)},
        {"q.weight.compressed": torch.ones(9), "q.weight.bitmask": CODES},
        {"experts.gate_up_proj": CODES.to(torch.int8)},
    ],
    ids=lambda tensors: next(iter(tensors)),
)
def test_codes_that_are_not_known_are_refused_and_not_left_out(tensors, tmp_path):
    """Two such checkpoints had the distance of what else is in them."""
    others = {"n.weight": torch.ones(3), "t.position_ids": torch.arange(4).reshape(1, 4).int()}
    others["gate.expert_of_token"] = torch.ones(8, 2, dtype=torch.int64)
    others["mask"] = torch.ones(4, 4, dtype=torch.bool)
    save_file(others | tensors, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="so it is quantised; weight distances need"):
        open_checkpoint(tmp_path)
    save_file(others, tmp_path / "model.safetensors")
    left_out = dict.fromkeys(("gate.expert_of_token", "t.position_ids"), "integer")
    assert open_checkpoint(tmp_path).left_out == left_out | {"mask": "buffer"}


@pytest.mark.parametrize(
    "tensors",
    [
        GOOD | {"q.weight": torch.ones(48, 64)},
        GOOD | {"q.weight": FP8},
        {"q.weight": FP8, "q.weight_scale": torch.ones(1), "q.weight_scale_inv": torch.ones(1)},
        {"q.weight": FP8, "q.weight_scale": FP8[:, :1], "q.weight_scale_scale": torch.ones(1)},
        {"q.weight_packed": CODES[:, :48], "q.weight_scale": CODES[:, :4]},  # six bits
        {"q.weight_packed": torch.ones((), dtype=torch.uint8), "q.weight_scale": torch.ones(1)},
        {"q.weight_packed": CODES, "q.weight_scale": CODES[:, :4], "q.weight_scale_inv": CODES + 1},
        GOOD | {"q.weight_global_scale": torch.tensor([1e-310], dtype=torch.float64)},
        {"q.weight": torch.ones(1, 2**20 + 1, dtype=torch.int8), "q.weight_scale": torch.ones(1)},
    ],
    ids=range(9),
)
def test_what_could_be_read_in_two_ways_or_in_none_is_refused(tensors, tmp_path):
    with pytest.raises(InputError, match="does not fit it"):
        open_checkpoint(written(tmp_path, tensors, {}))


def test_bits_that_are_said_are_those_that_are_read(tmp_path):
    groups = {"g": {"weights": {"num_bits": 7, "type": "int"}}}
    with pytest.raises(InputError, match="does not fit it"):
        open_checkpoint(written(tmp_path, GOOD, {"config_groups": groups}))
    groups["g"]["weights"]["num_bits"] = 4
    assert list(open_checkpoint(written(tmp_path, GOOD, {"config_groups": groups})).parameters)


def test_zero_points_of_several_matrices_that_are_packed_are_named(tmp_path):
    tensors = {
        "q.weight_packed": torch.zeros(2, 48, 8, dtype=torch.int32),
        "q.weight_scale": torch.ones(2, 48, 4),
        "q.weight_shape": torch.tensor([2, 48, 64]),
        "q.weight_zero_point": torch.zeros(2, 6, 4, dtype=torch.int32),
    }
    with pytest.raises(InputError, match=r"packs the zero points 'q\.weight_zero_point'"):
        open_checkpoint(written(tmp_path, tensors, {}))


@pytest.mark.filterwarnings("error")
def test_a_scale_that_is_not_finite_is_told(tmp_path):
    tensors = {"q.weight": torch.zeros(4, 4, dtype=torch.int8)}
    tensors["q.weight_scale"] = torch.full((4,), torch.inf)
    folder = written(tmp_path, tensors, {})
    with pytest.raises(InputError, match="holds a value that is not finite"):
        squared_distances([folder, folder])
