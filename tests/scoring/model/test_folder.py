"""A local directory is checked, and known by its content, before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.folder import content_digest, file_digest, local_files
from mlflow_modelmap.scoring.model.hub import snapshot
from mlflow_modelmap.scoring.model.reference import LOCAL, ModelReference
from tests.scoring.model_files import model_files, safetensors


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def failure(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        local_files(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_directory_as_the_user_wrote_it(tmp_path):
    folder = written(tmp_path / "m", model_files())
    files = snapshot(ModelReference.parse(folder))
    assert files == local_files(folder)
    assert files.reference == ModelReference(LOCAL, os.path.realpath(folder))
    assert files.model_path == files.tokenizer_path == os.path.realpath(folder)


def test_the_digest_is_that_of_names_and_contents(tmp_path):
    files = model_files()
    folder = written(tmp_path / "m", files)
    lines = [f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files)]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert local_files(folder).commit == f"sha256:{expected}"


def test_the_digest_follows_the_content_not_the_directory(tmp_path):
    folder = written(tmp_path / "one", model_files())
    before = local_files(folder).commit
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "two"))
    assert local_files(copy).commit == before
    link = tmp_path / "link"
    link.symlink_to(copy, target_is_directory=True)
    assert local_files(link).commit == before
    for name in ("README.md", "optimizer.pt", "trainer_state.json", "pytorch_model.bin"):
        (copy / name).write_bytes(b"more")
    assert local_files(copy).commit == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_the_digest_changes_with_every_file_that_makes_a_score(tmp_path, name):
    folder = written(tmp_path, model_files())
    before = local_files(folder).commit
    data = (folder / name).read_bytes()
    changed = {
        "config.json": data.replace(b"gpt_neox", b"gpt_neoy"),
        "model.safetensors": safetensors(9),
        "tokenizer.json": b'{"a": 1}',
    }[name]
    (folder / name).write_bytes(changed)
    assert local_files(folder).commit != before
    (folder / name).write_bytes(data)
    assert local_files(folder).commit == before


def test_a_tokenizer_may_lie_elsewhere(tmp_path):
    model = written(tmp_path / "model", model_files())
    (model / "tokenizer.json").unlink()
    other = written(tmp_path / "components" / "tokenizer", {"tokenizer.json": b"{}"})
    reference = ModelReference("registry", "models:/name/1")
    files = local_files(model, other, reference)
    assert files.reference == reference
    assert files.tokenizer_path == os.path.realpath(other)
    (other / "tokenizer.json").write_bytes(b'{"a": 1}')
    assert local_files(model, other, reference).commit != files.commit


def test_shards_are_all_read_and_all_needed(tmp_path):
    files = model_files()
    del files["model.safetensors"]
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    folder = written(tmp_path, {**files, shards[0]: safetensors(1), shards[1]: safetensors(2)})
    before = local_files(folder).commit
    (folder / shards[1]).write_bytes(safetensors(3))
    assert local_files(folder).commit != before
    (folder / shards[1]).unlink()
    assert f"lacks the weight file {shards[1]}" in failure(folder)
    (folder / "model.safetensors.index.json").write_bytes(b"[]")
    with pytest.raises(InputError, match="no readable index"):
        local_files(folder)


def test_a_large_file_is_digested_in_blocks(tmp_path):
    data = os.urandom(1 << 20) * 9 + b"end"
    path = tmp_path / "large"
    path.write_bytes(data)
    assert file_digest(str(path)) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"config.json": None}, "has no config.json; give what `save_pretrained` wrote"),
        ({"config.json": None, "checkpoint-8/config.json": b"{}"}, "its folder checkpoint-8 has"),
        ({"config.json": None, "MLmodel": b""}, "give its models:/ or runs:/ URI"),
        ({"config.json": b"{"}, "cannot be read as JSON"),
        ({"config.json": b"{}"}, "names no model_type"),
        ({"tokenizer.json": None}, "has no tokenizer"),
        ({"model.safetensors": None}, "has no weights (model.safetensors)."),
        ({"model.safetensors": None, "model.gguf": b""}, "only model.gguf"),
        ({"model.safetensors": None, "pytorch_model.bin": b""}, "damaged or cut short"),
        ({"model.safetensors": safetensors()[:-1]}, "damaged or cut short"),
        ({"model.safetensors": b""}, "damaged or cut short"),
        ({"model.safetensors": b"\xff" * 64}, "damaged or cut short"),
        (
            {"model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0"},
            "`git lfs pull`",
        ),
        (
            {"adapter_config.json": b'{"base_model_name_or_path": "org/base"}'},
            "is a PEFT adapter of org/base, which is not read by itself; merge it",
        ),
        ({"adapter_config.json": b"oops"}, "is a PEFT adapter, which"),
        ({"config.json": b'{"model_type": "t5", "is_encoder_decoder": true}'}, "but a t5"),
        (
            {"config.json": b'{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'},
            "no causal language model but a BertForMaskedLM",
        ),
    ],
)
def test_what_is_no_model_is_said_in_a_sentence(tmp_path, change, told):
    files = {name: data for name, data in {**model_files(), **change}.items() if data is not None}
    assert told in failure(written(tmp_path / "odd one", files))


def test_an_adapter_without_anything_else(tmp_path):
    folder = written(tmp_path, {"adapter_config.json": b"{}", "adapter_model.safetensors": b""})
    assert "PEFT adapter" in failure(folder)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "gemma2", "opt"])
def test_what_transformers_saves_is_taken(tiny_models, architecture):
    folder = tiny_models(architecture)
    files = local_files(folder)
    assert files.commit == content_digest(str(folder), str(folder))
    assert files.commit.startswith("sha256:")
    other = tiny_models(architecture, seed=1)
    assert local_files(other).commit != files.commit


def test_sharded_as_transformers_saves_it(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM

    shutil.copytree(tiny_model, tmp_path / "sharded")
    (tmp_path / "sharded" / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="50KB")
    shards = list((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 1
    local_files(tmp_path / "sharded")
    shards[0].unlink()
    assert "lacks the weight file" in failure(tmp_path / "sharded")
