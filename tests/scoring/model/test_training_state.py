"""What trainings leave is named, with the command that makes a model of it; by names alone."""

from __future__ import annotations

import pickle
import shutil
from inspect import signature
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.weights.checkpoint_files import open_checkpoint
from tests.scoring.model_files import model_files, safetensors

ZERO = "run `python zero_to_fp32.py . OUT --safe_serialization`"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["zero_to_fp32.py", "latest", "global_step10/"], ZERO),
        (["global_step10/"], ZERO),
        (["zero_pp_rank_0_mp_rank_00_model_states.pt"], ZERO),
        (["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"], ZERO),
        (
            ["pytorch_model_fsdp_0/", "optimizer_0/"],
            "run `accelerate merge-weights pytorch_model_fsdp_0 OUT`",
        ),
        (["__0_0.distcp", ".metadata"], "run `accelerate merge-weights DIR OUT`"),
    ],
)
@pytest.mark.parametrize("configured", [True, False])
def test_shards_of_a_training_are_said(there, said, configured, tmp_path):
    files = model_files()
    del files["model.safetensors"]
    if not configured:
        files = {}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in there:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(b"")
    for reader in (local_files, open_checkpoint):
        with pytest.raises(InputError) as caught:
            reader(tmp_path)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_whole_weights_beside_them_are_taken(tmp_path):
    for name, data in model_files().items():
        (tmp_path / name).write_bytes(data)
    commit = local_files(tmp_path).commit
    (tmp_path / "global_step10").mkdir()
    (tmp_path / "zero_to_fp32.py").write_text("")
    (tmp_path / ".metadata").write_text("")
    assert local_files(tmp_path).commit == commit


def test_files_that_transformers_would_load_instead_are_refused(tmp_path):
    files = model_files() | {"shard-00000-model-00001-of-00002.safetensors": safetensors(3)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="holds a distributed checkpoint"):
        local_files(tmp_path)


class _Touches:
    """What a hostile pickle does when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:.*torch.distributed")
def test_a_real_distributed_checkpoint_is_not_unpickled_and_its_remedy_works(tiny_model, tmp_path):
    """Its `.metadata` is a pickle that torch's restricted unpickler does not take."""
    import torch
    from accelerate.utils import merge_fsdp_weights
    from torch.distributed import checkpoint

    folder = tmp_path / "checkpoint-5"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    shards = folder / "pytorch_model_fsdp_0"
    weights = load_file(tiny_model / "model.safetensors")
    alone = {"no_dist": True} if "no_dist" in signature(checkpoint.save).parameters else {}
    checkpoint.save({"model": weights}, checkpoint_id=shards, **alone)
    with pytest.raises(pickle.UnpicklingError, match="Unsupported operand"):
        torch.load(shards / ".metadata", weights_only=True)
    with pytest.raises(InputError, match="run `accelerate merge-weights pytorch_model_fsdp_0 OUT`"):
        local_files(folder)
    out = folder / "OUT"
    merge_fsdp_weights(str(shards), str(out))
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, out)
    merged = load_file(local_files(out).model_path + "/model.safetensors")
    assert merged.keys() == weights.keys()
    assert all(torch.equal(merged[name], weights[name]) for name in weights)
    (shards / ".metadata").write_bytes(pickle.dumps(_Touches(tmp_path / "run")))
    with pytest.raises(InputError, match="shards of an FSDP training"):
        local_files(folder)
    assert not (tmp_path / "run").exists()
