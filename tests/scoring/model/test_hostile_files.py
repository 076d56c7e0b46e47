"""Files of a model that were made to mislead, exhaust or hang whoever reads them: one sentence."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_modelmap.errors import ModelMapError
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.model.weight_files import read_header, read_index
from mlflow_modelmap.scoring.model.weights_format import WEIGHTS_INDEX
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests.scoring.model_files import model_files, safetensors

DEEP = b'{"model_type": "gpt_neox", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def written(folder: Path, **changes: bytes | None) -> Path:
    files = {**model_files(), **changes}
    for name, data in files.items():
        if data is not None:
            (folder / name).write_bytes(data)
    return folder


def sharded(folder: Path) -> Path:
    index = {"metadata": {}, "weight_map": dict(zip("ab", SHARDS, strict=True))}
    return written(
        folder,
        **{
            "model.safetensors": None,
            WEIGHTS_INDEX: json.dumps(index).encode(),
            SHARDS[0]: safetensors(1),
            SHARDS[1]: safetensors(2),
        },
    )


def told(call, *arguments) -> str:
    """The one sentence with which a call fails."""
    with pytest.raises(ModelMapError) as caught:
        call(*arguments)
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert len(said) < 700
    assert not re.search(r"\w+(Error|Exception)\b|Traceback", said)
    return said


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.safetensors", "/etc/passwd", "/tmp/x.safetensors", "..", ".", ""),
        *("a/b.safetensors", "a\\b.safetensors", "C:x.safetensors", "..\\x.safetensors"),
        *("x\0.safetensors", "x\n.safetensors", "model.bin", "model.pt", "config.json"),
        *("model.safetensors.index.json", ".safetensors", "model.SAFETENSORS", "x.safetensors "),
        *(7, None, ["x.safetensors"], {"x.safetensors": 1}, "n" * 10_000),
    ],
)
def test_an_index_names_safetensors_beside_it_and_nothing_else(tmp_path, name):
    (tmp_path / WEIGHTS_INDEX).write_text(json.dumps({"weight_map": {"a": SHARDS[0], "b": name}}))
    said = told(read_index, str(tmp_path))
    assert "as a file of weights, which must be the name of a .safetensors file beside it" in said


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "7",
        "null",
        '"x"',
        '{"weight_map": [1]}',
        '{"weight_map": "x"}',
        '{"weight_map": null}',
    ],
)
def test_an_index_whose_map_is_none(tmp_path, content):
    (tmp_path / WEIGHTS_INDEX).write_text(content)
    assert "its weight_map says no files" in told(read_index, str(tmp_path))


def test_shards_whose_names_differ_only_in_case_are_one_file_elsewhere(tmp_path):
    index = {"weight_map": {"a": "One.safetensors", "b": "one.safetensors"}}
    (tmp_path / WEIGHTS_INDEX).write_text(json.dumps(index))
    assert "'One.safetensors' and 'one.safetensors'" in told(read_index, str(tmp_path))


def test_a_shard_of_another_case_is_missing(tmp_path):
    sharded(tmp_path)
    os.rename(tmp_path / SHARDS[0], tmp_path / SHARDS[0].upper())
    assert f"lacks the weight file {SHARDS[0]}" in told(local_files, tmp_path)


def test_an_index_of_ten_million_entries_is_not_read(tmp_path):
    with (tmp_path / WEIGHTS_INDEX).open("wb") as file:
        file.truncate(10_000_000 * 30)
    assert "has 300,000,000 bytes, more than the 67,108,864" in told(read_index, str(tmp_path))


def test_the_commit_covers_the_loaded_shards_and_no_stray_file(tmp_path):
    folder = sharded(tmp_path)
    commit = local_files(folder).commit
    strays = {
        "model-00003-of-00003.safetensors": safetensors(9),
        "adapter_model.safetensors": safetensors(9),
        "training_token_counts.json": b"{}",
        "my_vocabulary.pdf": b"%PDF",
        "train.py": b"print()",
        "generation_config.json": b"{}",
        "trainer_state.json": b"{}",
    }
    for name, data in strays.items():
        (folder / name).write_bytes(data)
        assert local_files(folder).commit == commit, name
    for shard in SHARDS:
        before = (folder / shard).read_bytes()
        (folder / shard).write_bytes(safetensors(7))
        assert local_files(folder).commit != commit
        (folder / shard).write_bytes(before)
    one, other = (folder / shard for shard in SHARDS)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert local_files(folder).commit != commit


def test_an_index_beside_whole_weights_is_a_stray_file(tmp_path):
    folder = written(tmp_path)
    commit = local_files(folder).commit
    (folder / WEIGHTS_INDEX).write_text("no json")
    assert local_files(folder).commit == commit


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_code_that_a_model_brings_is_part_of_it(tmp_path, where):
    mapped = {"model_type": "own", "auto_map": {"AutoTokenizer": ["x.Tokenizer", None]}}
    folder = written(tmp_path, **{where: json.dumps(mapped).encode(), "x.py": b"1"})
    commit = local_files(folder).commit
    (folder / "x.py").write_bytes(b"2")
    assert local_files(folder).commit != commit


def test_links_count_as_the_content_that_they_lead_to(tmp_path):
    """As in the Hub's cache, whose snapshots are links into a folder of blobs."""
    (tmp_path / "plain").mkdir()
    plain = written(tmp_path / "plain")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(plain.iterdir())):
        shutil.copy(path, blobs / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    assert local_files(snapshot).commit == local_files(plain).commit
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(tmp_path / "nowhere")
    assert "is a link that leads nowhere" in told(local_files, snapshot)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_would_never_end_is_not_opened(tmp_path, name, kind):
    folder = written(tmp_path)
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    else:
        (folder / name).mkdir()
    assert f"{name}' is no plain file" in told(local_files, folder)


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "final.model"),
        *("config.json", "generation_config.json", "added_tokens.json", "chat_template.jinja"),
    ],
)
def test_six_gigabytes_are_told_by_their_size(tmp_path, name):
    folder = written(tmp_path)
    with (folder / name).open("ab") as file:
        file.truncate(6 << 30)
    assert f"{name}' has 6,442,450,944 bytes, more than the " in told(local_files, folder)


def test_six_gigabytes_beside_a_model_are_not_read(tmp_path):
    folder = written(tmp_path)
    for name in ("token_dump.json", "vocabulary.bin", "corpus.txt", "optimizer.pt"):
        with (folder / name).open("wb") as file:
            file.truncate(6 << 30)
    code = (
        "import resource, sys\n"
        "from mlflow_modelmap.scoring.model.folder import local_files\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a fork's is its parent's\n"
        "print(local_files(sys.argv[1]).commit)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)),
    )
    commit, kilobytes = done.stdout.split()
    assert commit.startswith("sha256:")
    assert int(kilobytes) < 400_000


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", WEIGHTS_INDEX])
def test_deep_nesting_is_said_in_a_sentence(tmp_path, name):
    folder = sharded(tmp_path)
    (folder / name).write_bytes(DEEP)
    assert f"{name}' cannot be read as JSON (it is nested too deeply)" in told(local_files, folder)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[]", "no transformers configuration"),
        ("NaN", "no transformers configuration"),
        ('{"model_type": ["gpt2"]}', "no transformers configuration"),
        ('{"model_type": "gpt2", "vocab_size": 1000000000000000000}', "1000000000000000000"),
        ('{"model_type": "gpt2", "vocab_size": NaN}', "vocab_size = nan"),
        ('{"model_type": "gpt2", "vocab_size": true}', "vocab_size = True"),
        ('{"model_type": "gpt2", "vocab_size": 1e400}', "vocab_size = inf"),
        ('{"model_type": "gpt2", "vocab_size": 12.5}', "vocab_size = 12.5"),
        ('{"model_type": "gpt2", "n_layer": -2}', "n_layer = -2"),
        ('{"model_type": "gpt2", "max_position_embeddings": -1}', "max_position_embeddings = -1"),
        ('{"model_type": "gpt2", "n_positions": "many"}', "n_positions = 'many'"),
        ('{"model_type": "x", "text_config": {"hidden_size": "' + "9" * 9999 + '"}}', "999"),
        ('{"model_type": "gpt2", "vocab_size": ' + "9" * 5000 + "}", "cannot be read as JSON"),
        ('{"model_type": "gpt2", "transformers_weights": "../x.safetensors"}', "../x.safetensors"),
        ('{"model_type": "gpt2", "configuration_files": ["config.4.json"]}', "config.4.json"),
        ("\ufeff{", "cannot be read as JSON"),
        ("\0" * 9, "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
    ],
)
def test_a_configuration_that_cannot_be(tmp_path, content, named):
    (tmp_path / "config.json").write_text(content)
    assert named in told(read_config, tmp_path)


@pytest.mark.parametrize(
    "files", [["../x/tokenizer.4.json"], "tokenizer.json/..", [7], ["/etc/passwd"], {"a": 1}]
)
def test_a_tokenizer_s_other_versions_lie_beside_it(tmp_path, files):
    own = json.dumps({"fast_tokenizer_files": files}).encode()
    folder = written(tmp_path, **{"tokenizer_config.json": own})
    assert "among fast_tokenizer_files" in told(local_files, folder)


def header(tensors: object, data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    raw = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def one(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "content",
    [
        header({"w": one()}, length=1 << 60),
        header({"w": one()}, length=(1 << 64) - 1),
        header({"w": one()}, length=0),
        header({"w": one()}, length=5),
        header({"a": one(), "b": one()}),
        header({"a": one(), "b": one(offsets=(8, 24))}, b"\0" * 24),
        header({"w": one(offsets=(0, 1 << 40))}),
        header({"w": one(offsets=(16, 0))}),
        header({"w": one(offsets=(-16, 0))}),
        header({"w": one(shape=(-4,))}),
        header({"w": one(shape=(2, -2, -1))}),
        header({"w": one(shape=(1 << 62, 4))}),
        header({"w": one(shape=(1 << 32, 1 << 32, 1 << 32))}),
        header({"w": one(shape=("4",))}),
        header({"w": one(dtype="F7")}),
        header({"w": one(dtype=None)}),
        header({"w": 7}),
        header({"w": one(), "__metadata__": [1]}),
        header({"w": one(), "__metadata__": {"a": 1}}),
        header([]),
        header(b"[" * 100_000),
        header(b'{"w": ' + b"[" * 100_000),
        header(b'{"w":' + json.dumps(one(offsets=(0, 8), shape=(2,))).encode() + b',"w":'
               + json.dumps(one(offsets=(8, 16), shape=(2,))).encode() + b"}"),
        header({"w": one()}, b"\0" * 17),
        header(b"\xff" * 40),
    ],
    ids=lambda content: content[8:60].decode("latin-1"),
)  # fmt: skip
def test_a_header_that_lies_is_said_in_a_sentence(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "model.safetensors of m is damaged" in told(read_header, path, "m")


@pytest.mark.parametrize(
    "change",
    [
        {"vocab_size": 10**9},
        {"hidden_size": 2**31 - 1},
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"vocab_size": None},
        {"vocab_size": [1]},
        {"hidden_act": "nothing"},
        {"rope_parameters": "x", "rope_scaling": "x"},
        {"quantization_config": 7},
        {"model_type": "nothing"},
    ],
)
def test_a_configuration_that_its_weights_belie_is_not_scored(tiny_model, tmp_path, change):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ModelMapError) as caught:
        load_model(folder, "float32", "cpu", ScoringSettings())
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20


@pytest.mark.parametrize(
    "content",
    [
        *(b"[]", b"{", b"{}", b'{"version": 7}', b'{"model": {"type": "None"}}', b"NaN"),
        b'{"version": "1.0", "model": ' + b"[" * 100_000,
        b'{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}',
        b'{"version":"1.0","model":{"type":"BPE","vocab":{"a":4294967295},"merges":["a b"]}}',
    ],
)
def test_a_tokenizer_that_is_none(tmp_path, content):
    from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer

    (tmp_path / "tokenizer.json").write_bytes(content)
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast"}'
    )
    assert "cannot be loaded" in told(load_tokenizer, tmp_path)
