"""Weight distances equal those of whole models in float64, whatever the files look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.weights import squared_distances as weights
from mlflow_modelmap.scoring.weights.squared_distances import (
    banded_squared_distances,
    reach_of,
    squared_distances,
)
from tests.scoring.weights.checkpoints import drifting, save


def plainly(folder_a, folder_b):
    """The definition, in float64."""
    a, b = load_file(folder_a / "model.safetensors"), load_file(folder_b / "model.safetensors")
    return sum(((a[name].double() - b[name].double()) ** 2).sum().item() for name in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_equal_to_the_definition_for_every_pair(tmp_path, dtype):
    folders = [save(tmp_path / str(t), state) for t, state in enumerate(drifting(6, dtype=dtype))]
    found = squared_distances(folders)
    assert found.parameters == 37 * 19 + 300 * 7 + 7 + 1
    for i in range(6):
        for j in range(6):
            assert found.squared[i, j] == pytest.approx(plainly(folders[i], folders[j]), rel=1e-12)


def test_equal_to_two_loaded_models(tiny_models):
    from transformers import AutoModelForCausalLM

    folders = [tiny_models("gpt_neox", seed=seed) for seed in (0, 1)]
    one, two = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64) for folder in folders
    )
    pairs = list(zip(one.parameters(), two.parameters(), strict=True))
    plain = sum(((p - q) ** 2).sum().item() for p, q in pairs)
    found = squared_distances(folders)
    assert found.squared[0, 1] == pytest.approx(plain, rel=1e-12)
    assert found.parameters == sum(p.numel() for p, _ in pairs)


def test_tied_weights_stored_twice_count_once(tmp_path, tiny_models):
    tied = tiny_models("gpt_neox", tie_word_embeddings=True)
    other = tiny_models("gpt_neox", seed=1, tie_word_embeddings=True)
    stored = load_file(tied / "model.safetensors")
    assert "embed_out.weight" not in stored
    twice = save(
        tmp_path / "twice",
        {**stored, "embed_out.weight": stored["gpt_neox.embed_in.weight"].clone()},
    )
    assert (
        squared_distances([twice, other]).squared[0, 1]
        == squared_distances([tied, other]).squared[0, 1]
    )
    left_out = squared_distances([twice, other]).left_out
    assert left_out == {"embed_out.weight": "tied with gpt_neox.embed_in.weight"}


def test_shards_and_a_single_file_are_the_same(tmp_path):
    states = list(drifting(2))
    single = [save(tmp_path / f"single{t}", state) for t, state in enumerate(states)]
    shards = {"model-1.safetensors": ["a.weight", "scalar"], "model-2.safetensors": ["b.weight"]}
    shards["model-3.safetensors"] = ["b.bias"]
    sharded = save(tmp_path / "sharded", states[1], shards)
    assert (
        squared_distances([single[0], sharded]).squared[0, 1]
        == squared_distances(single).squared[0, 1]
    )


def test_near_identical_checkpoints_keep_their_digits():
    rng = np.random.default_rng(0)
    base = rng.normal(size=5000)
    near = base + 1e-7 * rng.normal(size=5000)
    far = base + rng.normal(size=5000)
    values = np.stack([far, base, near, near])
    found = banded_squared_distances(values, np.array([3, 3, 3, 3]))
    assert found[1, 2] == pytest.approx(((base - near) ** 2).sum(), rel=1e-12)
    assert found[2, 3] == 0.0
    assert found[0, 1] == pytest.approx(((far - base) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("window", [0, 1, 3, 9, 50, None])
def test_a_window_holds_the_same_values_as_the_full_matrix(window):
    values = np.cumsum(np.random.default_rng(1).normal(size=(45, 60)), axis=0)
    reach = reach_of(range(45), window)
    full = ((values[:, None] - values) ** 2).sum(axis=2)
    found = banded_squared_distances(values, reach)
    for i in range(45):
        for j in range(i, reach[i] + 1):
            assert found[i, j] == pytest.approx(full[i, j], rel=1e-12)
            assert found[j, i] == found[i, j]


def test_windows_are_in_steps_and_always_hold_the_next():
    assert reach_of([0, 1, 2, 100, 101, 300], 5).tolist() == [2, 2, 3, 4, 5, 5]
    assert reach_of([0, 10, 20, 40], 20).tolist() == [2, 2, 3, 3]
    assert reach_of([0, 10, 20], None).tolist() == [2, 2, 2]


def test_pairs_outside_the_window_are_nan(tmp_path):
    folders = [save(tmp_path / str(t), state) for t, state in enumerate(drifting(5))]
    squared = squared_distances(folders, reach_of(range(5), 2)).squared
    assert np.isnan(squared).sum() == 6
    assert np.isnan(squared[0, 3])
    assert np.isfinite(squared[0, 2])


def test_each_byte_is_read_once_and_threads_change_nothing(tmp_path, monkeypatch):
    folders = [save(tmp_path / str(t), state) for t, state in enumerate(drifting(7))]
    monkeypatch.setattr(weights, "_NUMBERS", 7 * 1024)
    read = []
    plain = weights.open_checkpoint(folders[0]).parameters["a.weight"].__class__.read_into

    def counting(tensor, file, start, out):
        read.append((tensor.file, tensor.name, start, len(out)))
        plain(tensor, file, start, out)

    monkeypatch.setattr(
        "mlflow_modelmap.scoring.weights.checkpoint_files.StoredTensor.read_into", counting
    )
    one = squared_distances(folders, reach_of(range(7), 2), threads=1)
    assert len(set(read)) == len(read)
    assert sum(length for *_, length in read) == 7 * one.parameters
    four = squared_distances(folders, reach_of(range(7), 2), threads=4)
    assert np.array_equal(one.squared, four.squared, equal_nan=True)


def test_an_interrupted_call_goes_on_and_ends_at_the_same_bits(tmp_path, monkeypatch):
    folders = [save(tmp_path / str(t), state) for t, state in enumerate(drifting(3))]
    monkeypatch.setattr(weights, "_SAVE_SECONDS", 0.0)
    whole = squared_distances(folders)
    spool = tmp_path / "spool"

    def stop(done, total):
        if done > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        squared_distances(folders, spool=spool, progress=stop)
    (left,) = spool.iterdir()
    seen = []
    again = squared_distances(folders, spool=spool, progress=lambda done, _: seen.append(done))
    assert 0 < again.resumed < 1
    assert len(seen) < 4
    assert np.array_equal(again.squared, whole.squared)
    assert not left.exists()


def test_a_changed_checkpoint_does_not_continue_old_sums(tmp_path, monkeypatch):
    states = list(drifting(3))
    folders = [save(tmp_path / str(t), states[t]) for t in range(2)]
    monkeypatch.setattr(weights, "_SAVE_SECONDS", 0.0)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        squared_distances(folders, spool=tmp_path / "spool", progress=stop)
    save_file(states[2], folders[1] / "model.safetensors")
    assert squared_distances(folders, spool=tmp_path / "spool").resumed == 0.0


def test_a_damaged_spool_is_begun_again(tmp_path, monkeypatch):
    folders = [save(tmp_path / str(t), state) for t, state in enumerate(drifting(2))]
    monkeypatch.setattr(weights, "_SAVE_SECONDS", 0.0)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        squared_distances(folders, spool=tmp_path / "spool", progress=stop)
    (left,) = (tmp_path / "spool").iterdir()
    left.write_bytes(b"PK nonsense")
    again = squared_distances(folders, spool=tmp_path / "spool")
    assert again.resumed == 0.0
    assert again.squared[0, 1] == pytest.approx(plainly(*folders), rel=1e-12)


def test_the_first_parameter_that_differs_is_named(tmp_path):
    first, second = drifting(2)
    one = save(tmp_path / "one", first)
    two = save(tmp_path / "two", {**second, "b.weight": torch.ones(300, 8)})
    with pytest.raises(InputError, match=r"'b.weight' has the shape \[300, 7\] in step 1 and"):
        squared_distances([one, two], labels=["step 1", "step 2"])
    second.pop("b.bias")
    three = save(tmp_path / "three", second)
    with pytest.raises(InputError, match=r"'b.bias' is in .* but not in .*one architecture"):
        squared_distances([one, three])


def test_a_value_that_is_not_finite_is_named(tmp_path):
    first, second = drifting(2)
    second["b.weight"][3, 3] = float("nan")
    folders = [save(tmp_path / "one", first), save(tmp_path / "two", second)]
    with pytest.raises(InputError, match=r"'b.weight' of step 20 holds a value that is not finite"):
        squared_distances(folders, labels=["step 10", "step 20"])


def test_one_checkpoint_has_no_distance(tmp_path):
    with pytest.raises(InputError, match="at least two"):
        squared_distances([save(tmp_path / "x", next(drifting(1)))])
