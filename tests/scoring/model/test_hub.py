"""Hub models come as a snapshot first, from a server that speaks the real Hub's language."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model import hub as hub_module
from mlflow_modelmap.scoring.model.adapter import Adapter
from mlflow_modelmap.scoring.model.hub import snapshot
from mlflow_modelmap.scoring.model.reference import ModelReference
from tests.hub_server import HubServer
from tests.scoring.model_files import model_files, safetensors


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A loopback Hub with one model, taken for the real one; the local cache is empty."""
    with HubServer() as server:
        server.add("org/model", model_files())
        server.use(monkeypatch, tmp_path / "cache")
        yield server


def fetch(written: str, revision: str | None = None):
    return snapshot(ModelReference.parse(written, revision))


def failure(written: str, revision: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        fetch(written, revision)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_model_is_fetched_and_its_commit_known(hub):
    commit = hub.add("org/model", model_files(seed=1))
    files = fetch("org/model")
    assert files.commit == commit
    assert files.model_path == files.tokenizer_path
    weights = Path(files.model_path, "model.safetensors").read_bytes()
    assert weights == model_files(seed=1)["model.safetensors"]
    assert str(files.reference) == "org/model"


def test_only_what_scoring_needs_is_fetched(hub):
    more = {
        "pytorch_model.bin": b"pickle",
        "model.fp16.safetensors": safetensors(),
        "consolidated.safetensors": safetensors(),
        "optimizer.pt": b"pickle",
        "README.md": b"# a model",
        "onnx/model.safetensors": safetensors(),
        "onnx/config.json": b"{}",
        "tokenizer_config.json": b'{"add_bos_token": false}',
        "modeling_own.py": b"# code",
    }
    hub.add("org/model", {**model_files(), **more})
    fetch("org/model")
    assert sorted(set(hub.fetched())) == [
        "config.json",
        "model.safetensors",
        "modeling_own.py",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_shards_come_with_their_index(hub):
    files = model_files()
    del files["model.safetensors"]
    for number in (1, 2):
        files[f"model-0000{number}-of-00002.safetensors"] = safetensors(number)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    index["weight_map"]["b"] = "model-00002-of-00002.safetensors"
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.add("org/shards", {**files, "pytorch_model-00001-of-00002.bin": b"pickle"})
    found = os.listdir(fetch("org/shards").model_path)
    assert sorted(found) == sorted(files)

    del files["model-00002-of-00002.safetensors"]
    hub.add("org/incomplete", files)
    assert "lacks the weight file model-00002-of-00002" in failure("org/incomplete")


@pytest.mark.parametrize("how", ["inline", "apart", "commit"])
def test_a_revision_is_resolved(hub, how):
    commit = hub.add("org/model", model_files(seed=3), revision="step3")
    if how == "inline":
        files = fetch("org/model@step3")
    else:
        files = fetch("org/model", "step3" if how == "apart" else commit)
    assert files.commit == commit != fetch("org/model").commit


def test_a_branch_with_a_slash_is_a_revision(hub):
    commit = hub.add("org/model", model_files(seed=3), revision="refs/pr/1")
    assert fetch("org/model@refs/pr/1").commit == commit


def test_a_branch_that_moved_is_fetched_anew(hub):
    first = fetch("org/model").commit
    commit = hub.add("org/model", model_files(seed=5))
    assert fetch("org/model").commit == commit != first


def test_a_cached_commit_asks_no_network(hub):
    commit = fetch("org/model").commit
    hub.requests.clear()
    assert fetch(f"org/model@{commit}").commit == commit
    assert hub.requests == []


def test_what_is_cached_is_not_fetched_again(hub):
    fetch("org/model")
    hub.requests.clear()
    fetch("org/model")
    assert hub.fetched() == []


def test_a_missing_model(hub):
    message = failure("org/nothing")
    assert "There is no model 'org/nothing'" in message
    assert "private" in message


def test_a_missing_revision(hub):
    message = failure("org/model@step7")
    assert "'org/model' has no revision 'step7'" in message


def test_a_gated_model_is_not_called_missing(hub):
    hub.add("org/gated", model_files(), gated=True)
    message = failure("org/gated")
    assert "gated" in message
    assert "hf auth login" in message
    assert f"{hub.url}/org/gated" in message


def test_a_refused_token(hub):
    hub.status = 401
    assert "hf auth login" in failure("org/model")


@pytest.mark.parametrize("status", [403, 404])
def test_something_else_that_answers_in_the_hubs_place(hub, status):
    files = fetch("org/model")
    hub.status = status
    assert fetch("org/model") == files
    assert f"refuses access to 'org/other' ({status})" in failure("org/other")


@pytest.mark.parametrize("name", ["a--b", "x" * 120, "org/name.git"])
def test_a_name_that_cannot_be(hub, name):
    assert name in failure(name)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model.safetensors": None, "model.pt": b"pickle"}, "in no file that is read"),
        ({"model.safetensors": None, "zero_to_fp32.py": b""}, "DeepSpeed ZeRO"),
        ({"model.safetensors": None}, "no weights"),
        ({"model.safetensors": None, "model.gguf": b"GGUF"}, "only model.gguf"),
        ({"tokenizer.json": None}, "no tokenizer"),
        ({"config.json": None}, "no config.json"),
        ({"adapter_config.json": b"{}"}, "has no weights (adapter_model.safetensors), only model"),
        ({"config.json": b'{"model_type": "t5", "is_encoder_decoder": true}'}, "no causal"),
        (
            {"config.json": b'{"model_type": "bert", "architectures": ["BertForMaskedLM"]}'},
            "BertForMaskedLM",
        ),
        ({"config.json": b"{"}, "cannot be read as JSON"),
    ],
)
def test_what_is_no_model_is_refused_before_its_weights_are_fetched(hub, change, told):
    files = {name: data for name, data in {**model_files(), **change}.items() if data is not None}
    hub.add("org/odd", files)
    assert told in failure("org/odd")
    assert set(hub.fetched()) <= {"config.json"}


PICKLED = {
    "config.json": model_files()["config.json"],
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"\x80\x02pickle",
}


def test_pickles_are_fetched_only_where_there_are_no_safetensors(hub):
    hub.add("org/old", {**PICKLED, "model.pt": b"pickle", "tf_model.h5": b"other"})
    files = fetch("org/old")
    assert sorted(os.listdir(files.model_path)) == sorted(PICKLED)
    hub.requests.clear()
    shards = {f"pytorch_model-0000{n}-of-00002.bin": b"\x80\x02pickle" for n in (1, 2)}
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    more = {"pytorch_model.bin.index.json": json.dumps(index).encode(), **shards}
    hub.add("org/old", {**{k: v for k, v in PICKLED.items() if "bin" not in k}, **more})
    assert set(more) <= set(os.listdir(fetch("org/old").model_path))


def test_pickles_that_are_refused_are_not_fetched(hub):
    hub.add("org/old", PICKLED)
    with pytest.raises(InputError, match=r"only as pickles \(pytorch_model.bin\), which x refuses"):
        snapshot(ModelReference.parse("org/old"), "which x refuses")
    assert hub.fetched() == []
    commit = fetch("org/old").commit
    hub.close()
    assert fetch(f"org/old@{commit}").commit == commit
    with pytest.raises(InputError, match=r"only as pickles \(pytorch_model.bin\), which x refuses"):
        snapshot(ModelReference.parse("org/old"), "which x refuses")


def test_cached_pickles_give_way_to_the_hubs_safetensors(hub):
    import huggingface_hub

    commit = hub.add("org/both", {**PICKLED, "model.safetensors": safetensors()})
    huggingface_hub.snapshot_download("org/both", ignore_patterns=["*.safetensors"])
    assert "model.safetensors" in os.listdir(fetch(f"org/both@{commit}").model_path)


ADAPTER = {
    "adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "org/model"}',
    "adapter_model.safetensors": safetensors(),
}


def test_an_adapter_is_fetched_with_its_own_files_only(hub):
    more = {
        "optimizer.pt": b"pickle",
        "adapter_model.bin": b"pickle",
        "training_args.bin": b"pickle",
        "README.md": b"",
    }
    commit = hub.add("org/adapter", {**ADAPTER, **more})
    found = fetch("org/adapter")
    assert isinstance(found, Adapter)
    assert (found.commit, found.base, found.tokenizer_path) == (commit, "org/model", None)
    assert sorted(os.listdir(found.path)) == sorted(ADAPTER)
    hub.requests.clear()
    assert fetch(f"org/adapter@{commit}").path == found.path
    assert hub.requests == []
    hub.close()
    assert fetch("org/adapter") == found


def test_a_pickled_adapter_that_is_refused_is_not_fetched(hub):
    files = {"adapter_config.json": ADAPTER["adapter_config.json"], "adapter_model.bin": b"\x80"}
    hub.add("org/adapter", files)
    with pytest.raises(InputError, match=r"only as pickles \(adapter_model.bin\), which x refuses"):
        snapshot(ModelReference.parse("org/adapter"), "which x refuses")
    assert hub.fetched() == []


def test_weights_cut_short_are_refused(hub):
    files = model_files()
    files["model.safetensors"] = files["model.safetensors"][:-4]
    hub.add("org/short", files)
    assert "cut short" in failure("org/short")


def quickly(seconds: float = 3.0):
    """A context in which no more than so many seconds may pass."""

    class Timer:
        def __enter__(self):
            self.start = time.perf_counter()

        def __exit__(self, *_):
            assert time.perf_counter() - self.start < seconds

    return Timer()


def test_network_down_without_a_cache_is_said_quickly(hub):
    hub.close()
    with quickly():
        message = failure("org/model")
    assert "not in the local cache" in message
    assert "check the network" in message


def test_network_down_with_a_cache_is_no_trouble(hub):
    files = fetch("org/model")
    hub.close()
    with quickly():
        assert fetch("org/model") == files


def test_network_down_with_part_of_a_model_in_the_cache(hub):
    path = fetch("org/model").model_path
    os.unlink(os.path.join(path, "model.safetensors"))
    hub.close()
    assert "only partly in the local cache" in failure("org/model")


def test_a_hub_that_never_answers_is_given_up(hub, monkeypatch):
    files = fetch("org/model")
    hub.silent = True
    monkeypatch.setattr(hub_module, "ANSWER_SECONDS", 0.3)
    with quickly():
        assert fetch("org/model") == files
        assert "check the network" in failure("org/other")


def test_a_name_resolution_that_never_ends_is_given_up(hub, monkeypatch):
    def stuck(*_, **__):
        time.sleep(5)
        raise OSError

    monkeypatch.setattr(hub_module, "DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    monkeypatch.setattr(socket, "create_connection", stuck)
    with quickly():
        assert "no answer within 0.3 seconds" in failure("org/model")


def test_limits_add_up_to_a_few_seconds():
    assert hub_module.ANSWER_SECONDS < hub_module.DEADLINE_SECONDS <= 8


@pytest.mark.parametrize("status", [503, 500, 429])
def test_a_hub_in_trouble(hub, status):
    files = fetch("org/model")
    hub.status = status
    with quickly():
        assert fetch("org/model") == files
        message = failure("org/other")
    assert f"answers {status}" in message
    assert "try again later" in message


def test_offline_mode(hub, monkeypatch):
    from huggingface_hub import constants, utils

    files = fetch("org/model")
    # Until version 1 it looks at this when it makes a session.
    anew = getattr(utils, "reset_sessions", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    anew()
    hub.requests.clear()
    assert fetch("org/model") == files
    assert "HF_HUB_OFFLINE is set" in failure("org/other")
    assert hub.requests == []
    monkeypatch.undo()
    anew()


def test_a_process_of_its_own_with_the_real_environment(hub, tmp_path):
    code = (
        "from mlflow_modelmap.scoring.model.hub import snapshot\n"
        "from mlflow_modelmap.scoring.model.reference import ModelReference\n"
        "import sys\n"
        "print(snapshot(ModelReference.parse('org/model')).commit)\n"
        "assert not {'torch', 'transformers', 'mlflow'} & set(sys.modules)\n"
    )
    environment = os.environ | hub.environment(tmp_path / "another")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == hub.repositories["org/model"].revisions["main"]


def test_a_fetched_model_loads(hub, tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hub.add("org/tiny", tiny_model)
    files = fetch("org/tiny")
    tokenizer = AutoTokenizer.from_pretrained(files.tokenizer_path, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(files.model_path, local_files_only=True)
    ids = tokenizer("A language model", return_tensors="pt")["input_ids"]
    assert model(ids).logits.shape == (1, ids.shape[1], 400)


def test_what_the_server_says_of_lineage_is_what_the_client_reads(hub):
    from huggingface_hub import HfApi

    hub.add("org/child", model_files(), base_models=["org/model"], relation="finetune")
    info = HfApi().model_info("org/child", expand=["baseModels", "cardData", "sha"])
    based_on = getattr(info, "base_models", None) or info.baseModels
    assert based_on["relation"] == "finetune"
    assert [model["id"] for model in based_on["models"]] == ["org/model"]
    assert info.card_data.base_model == "org/model"
    refs = HfApi().list_repo_refs("org/child")
    assert [branch.name for branch in refs.branches] == ["main"]


def test_files_that_are_not_begun_are_left_when_a_fetch_is_stopped():
    """A notebook goes on after Ctrl-C, and would else fetch all of a model behind it."""
    tqdm = pytest.importorskip("huggingface_hub.utils.tqdm")
    if not hasattr(tqdm, "hf_thread_map"):
        pytest.skip("this huggingface_hub maps its threads by tqdm itself")
    begun, ended = [], threading.Event()

    def file(number):
        begun.append(number)
        time.sleep(0.2)

    def fetch():
        try:
            tqdm.hf_thread_map(file, range(40), max_workers=2)
        finally:
            ended.set()

    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        hub_module.interruptible(fetch)
    assert ended.wait(60)
    assert len(begun) < 40
