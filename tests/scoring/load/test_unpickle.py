"""Pickled weights are read as safetensors are, and a hostile pickle runs nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.load.unpickle import check_torch
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.model.pickles import refuses_pickles
from mlflow_modelmap.scoring.settings import ScoringSettings

SHARDS = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]


def without_weights(model: Path, folder: Path) -> dict[str, torch.Tensor]:
    """A model's other files in a folder, and its weights."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return load_file(model / "model.safetensors")


def in_shards(tensors: dict[str, Any], folder: Path) -> None:
    where = {name: SHARDS[n % 2] for n, name in enumerate(tensors)}
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    for shard in SHARDS:
        torch.save({k: v for k, v in tensors.items() if where[k] == shard}, folder / shard)


def score(folder, texts, **settings: Any):
    return score_texts(local_files(folder), texts, ScoringSettings(device="cpu", **settings))


def failure(folder, texts) -> str:
    with pytest.raises((InputError, ScoringError)) as caught:
        score(folder, texts)
    said = str(caught.value)
    assert "\n" not in said
    assert repr(str(folder)) in said
    return said


@pytest.mark.parametrize("how", ["zip", "legacy", "shards"])
@pytest.mark.parametrize("architecture", ["opt", "gpt2"])
def test_values_are_those_of_safetensors(how, architecture, tiny_models, tmp_path, texts):
    model = tiny_models(architecture)
    tensors = without_weights(model, tmp_path / "m")
    if how == "shards":
        in_shards(tensors, tmp_path / "m")
    else:
        torch.save(
            tensors,
            tmp_path / "m" / "pytorch_model.bin",
            _use_new_zipfile_serialization=how == "zip",
        )
    made, expected = score(tmp_path / "m", texts), score(model, texts)
    assert np.array_equal(made.log_likelihoods, expected.log_likelihoods)
    assert made.provenance["weights_format"] == "pickle"
    assert expected.provenance["weights_format"] == "safetensors"


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "nf4"])
def test_in_every_precision(precision, tiny_models, tmp_path, texts):
    if precision != "bfloat16":
        pytest.importorskip("bitsandbytes")
    model = tiny_models("gpt_neox", hidden_size=64, intermediate_size=128)
    torch.save(without_weights(model, tmp_path / "m"), tmp_path / "m" / "pytorch_model.bin")
    made, expected = (score(at, texts, precision=precision) for at in (tmp_path / "m", model))
    assert np.array_equal(made.log_likelihoods, expected.log_likelihoods)


def test_safetensors_win_and_the_digest_covers_what_is_loaded(tiny_model, tmp_path, texts):
    folder = tmp_path / "m"
    tensors = without_weights(tiny_model, folder)
    in_shards(tensors, folder)
    pickled = local_files(folder).commit
    torch.save({name: tensor * 2 for name, tensor in tensors.items()}, folder / "other.bin")
    assert local_files(folder).commit == pickled
    in_shards({name: tensor * 2 for name, tensor in tensors.items()}, folder)
    assert local_files(folder).commit != pickled
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / SHARDS[0]).write_bytes(b"garbage")
    made = score(folder, texts)
    assert made.provenance["weights_format"] == "safetensors"
    assert np.array_equal(made.log_likelihoods, score(tiny_model, texts).log_likelihoods)
    assert local_files(folder).commit == local_files(tiny_model).commit


def test_safetensors_only_refuses_them_before_and_while_loading(tiny_model, tmp_path):
    folder = tmp_path / "m"
    torch.save(without_weights(tiny_model, folder), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"only as pickles \(pytorch_model.bin\), which safeten"):
        local_files(folder, refused=refuses_pickles(True))
    with pytest.raises(InputError, match=r"only as pickles \(pytorch_model.bin\), which safeten"):
        load_model(folder, "float32", "cpu", ScoringSettings(safetensors_only=True))
    local_files(folder, refused=refuses_pickles(False))


class Evil:
    """What runs a function with an argument when it is unpickled."""

    def __init__(self, function: Any, argument: str) -> None:
        self.call = function, (argument,)

    def __reduce__(self) -> Any:
        return self.call


def by_system(marker: Path) -> Evil:
    return Evil(os.system, f"touch {marker}")


def by_eval(marker: Path) -> Evil:
    return Evil(eval, f"open({str(marker)!r}, 'w')")


def in_zip(evil: Any, folder: Path, tensors: dict[str, Any]) -> None:
    torch.save(evil, folder / "pytorch_model.bin")


def nested(evil: Any, folder: Path, tensors: dict[str, Any]) -> None:
    torch.save({**tensors, "w": {"deeper": [evil]}}, folder / "pytorch_model.bin")


def bare(evil: Any, folder: Path, tensors: dict[str, Any]) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(evil, 2))


def legacy(evil: Any, folder: Path, tensors: dict[str, Any]) -> None:
    torch.save(
        {**tensors, "w": evil}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False
    )


def in_a_shard(evil: Any, folder: Path, tensors: dict[str, Any]) -> None:
    in_shards(tensors, folder)
    torch.save({"w": evil}, folder / SHARDS[1])


def in_a_tar(evil: Any, folder: Path, tensors: dict[str, Any]) -> None:
    with tarfile.open(folder / "pytorch_model.bin", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(evil, 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("evil", [by_system, by_eval])
@pytest.mark.parametrize("where", [in_zip, nested, bare, legacy, in_a_shard, in_a_tar])
def test_a_hostile_pickle_runs_nothing(evil, where, tiny_model, tmp_path, texts, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # is for calls that do not say
    folder, marker = tmp_path / "m", tmp_path / "marker"
    where(evil(marker), folder, without_weights(tiny_model, folder))
    said = failure(folder, texts)
    assert not marker.exists()
    if where is in_a_tar:
        assert "it is a tar file" in said
    else:
        name = {by_system: f"{os.system.__module__}.system", by_eval: r"(builtins\.)?eval"}[evil]
        assert re.search(f"asks for {name}, which is no part of a tensor and could run code", said)


def test_the_marker_would_be_there_if_it_ran(tmp_path):
    for number, evil in enumerate((by_system, by_eval)):
        marker = tmp_path / str(number)
        function, arguments = evil(marker).__reduce__()
        function(*arguments)
        assert marker.exists()


def whole(model: Path) -> bytes:
    content = io.BytesIO()
    torch.save(load_file(model / "model.safetensors"), content)
    return content.getvalue()


def other_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a/b", "c")
    return content.getvalue()


def bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10_000)
    return content.getvalue()


def script() -> bytes:
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda model: whole(model)[:-100], "damaged or cut short"),
        (lambda model: whole(model)[: len(whole(model)) // 2], "damaged or cut short"),
        (lambda model: b"garbage" * 99, "begins like no file that torch.save writes"),
        (lambda model: b"", "begins like no file that torch.save writes"),
        (lambda model: b"\x80\x02garbage", "damaged or cut short"),
        (lambda model: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (lambda model: other_zip(), "a zip file, but not of weights"),
        (lambda model: bomb(), "it is compressed, as torch.save writes none"),
        (lambda model: script(), "a zip file, but not of weights"),
        (lambda model: pickle.dumps({"w": 3}, 2), "damaged or cut short"),
    ],
)
def test_a_damaged_file_is_one_sentence(made, said, tiny_model, tmp_path, texts):
    without_weights(tiny_model, tmp_path / "m")
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(made(tiny_model))
    assert said in failure(tmp_path / "m", texts)


@pytest.mark.parametrize("held", [[1, 2], {"w": "text"}, {1: torch.ones(1)}, {}, torch.ones(2)])
def test_other_things_than_tensors_by_name_are_said(held, tiny_model, tmp_path, texts):
    without_weights(tiny_model, tmp_path / "m")
    torch.save(held, tmp_path / "m" / "pytorch_model.bin")
    assert "holds other things than tensors by name" in failure(tmp_path / "m", texts)


def test_missing_weights_are_no_random_numbers(tiny_model, tmp_path, texts):
    tensors = without_weights(tiny_model, tmp_path / "m")
    tensors.pop("gpt_neox.final_layer_norm.weight")
    torch.save(tensors, tmp_path / "m" / "pytorch_model.bin")
    assert "lack gpt_neox.final_layer_norm.weight" in failure(tmp_path / "m", texts)


@pytest.mark.parametrize("ending", [".bin", ".safetensors"])
def test_empty_tensors_of_zero_3_are_said(ending, tiny_model, tmp_path, texts):
    folder = tmp_path / "m"
    tensors = without_weights(tiny_model, folder)
    name = "gpt_neox.layers.0.attention.dense.weight"
    tensors |= {name: torch.empty(0)}
    if ending == ".bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said = failure(folder, texts)
    assert f"holds empty tensors in place of weights ({name})" in said
    assert "run `python zero_to_fp32.py . OUT --safe_serialization`" in said


@pytest.mark.parametrize("version", ["2.5.1", "1.13", "2.5.0+cpu", "strange"])
def test_an_older_torch_reads_no_pickles(version):
    with pytest.raises(ScoringError, match=r"by torch 2.6 or later only, and this is "):
        check_torch(version)
    for good in ("2.6.0", "2.13.0+cu130", "3.0"):
        check_torch(good)
