"""llama.cpp as an engine: by a stand-in here, by itself in `make test-llama-cpp`."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import TextSet, score
from mlflow_modelmap.errors import InputError, ScoringError
from tests import llama_cpp_stand_in, tiny
from tests.completion_server import trained
from tests.gguf_model import write_gguf

TEXTS = TextSet("sentences", tuple(tiny.SENTENCES))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder, and the same weights as GGUF, without and with a BOS."""
    there = tmp_path_factory.mktemp("llama_cpp")
    made = {}
    for bos in (False, True):
        folder = trained(there / f"bos-{bos}", bos=bos)
        for kind in ("F32", "F16", "Q8_0"):
            path = there / f"{kind}-{bos}.gguf"
            write_gguf(path, folder, kind, pre="gpt-2", bos=bos)
            made[kind, bos] = path
        made["folder", bos] = folder
    return made


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", llama_cpp_stand_in)
    return llama_cpp_stand_in


def by_llama_cpp(path, **given):
    return score(path, TEXTS, engine="llama.cpp", progress=False, **given)


@pytest.mark.parametrize("bos", [False, True])
def test_the_values_are_those_of_transformers(store, models, stand_in, bos):
    scored = by_llama_cpp(models["F32", bos])
    here = score(models["folder", bos], TEXTS, progress=False)
    np.testing.assert_allclose(scored.log_likelihoods, here.log_likelihoods, rtol=0, atol=1e-3)
    run = mlflow.get_run(scored.run_id)
    assert run.data.tags["modelmap.engine"] == "llama.cpp"
    assert run.data.tags["modelmap.precision"] == "float32"
    assert float(run.data.params["modelmap.agreement_nats_a_token"]) < 1e-4
    assert "modelmap.batch_tokens" not in run.data.params
    assert "modelmap.concurrency" not in run.data.params


@pytest.mark.parametrize(("kind", "precision"), [("F16", "float16"), ("Q8_0", "Q8_0")])
def test_the_precision_is_what_the_file_holds(store, models, stand_in, kind, precision):
    scored = by_llama_cpp(models[kind, False])
    assert mlflow.get_run(scored.run_id).data.tags["modelmap.precision"] == precision
    with pytest.raises(InputError, match=r"scores weights as they are stored|scored as it is"):
        by_llama_cpp(models[kind, False], precision="float32")


def test_a_long_text_goes_in_batches(store, models, stand_in, monkeypatch):
    monkeypatch.setattr("mlflow_modelmap.scoring.engines.llama_cpp._MOST_BATCH", 16)
    made = []
    original = llama_cpp_stand_in.Llama.__init__

    def remembered(self, *given, **options):
        original(self, *given, **options)
        made.append(self)

    monkeypatch.setattr(llama_cpp_stand_in.Llama, "__init__", remembered)
    scored = by_llama_cpp(models["F32", False])
    here = score(models["folder", False], TEXTS, progress=False)
    np.testing.assert_allclose(scored.log_likelihoods, here.log_likelihoods, rtol=0, atol=1e-3)
    assert max(made[0].batches) == 16


def test_a_failure_names_the_text(store, models, stand_in, monkeypatch):
    monkeypatch.setattr(llama_cpp_stand_in, "llama_decode", lambda context, batch: -3)
    with pytest.raises(ScoringError, match=r"fails on text \d+ \(llama_decode -3\)"):
        by_llama_cpp(models["F32", False])


def test_another_arithmetic_than_its_weights_is_refused(store, models, stand_in, monkeypatch):
    original = llama_cpp_stand_in.llama_decode

    def hot(context, batch):
        done = original(context, batch)
        context.logits = context.logits * np.float32(0.5)
        return done

    monkeypatch.setattr(llama_cpp_stand_in, "llama_decode", hot)
    with pytest.raises(ScoringError, match=r"does not give what the weights in .*F32-False.gguf"):
        by_llama_cpp(models["F32", False])


def test_what_it_does_not_take(store, models, stand_in):
    with pytest.raises(InputError, match=r"reads GGUF files, and .* is none"):
        by_llama_cpp(models["folder", False])


def test_without_its_library(store, models, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(InputError, match=r"install `mlflow-modelmap\[llama-cpp\]`"):
        by_llama_cpp(models["F32", False])


@pytest.fixture
def itself():
    return pytest.importorskip(
        "llama_cpp", reason="llama-cpp-python compiles for ten minutes: make test-llama-cpp"
    )


@pytest.mark.heavy
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize(("kind", "nats"), [("F32", 1e-3), ("Q8_0", 0.5)])
def test_llama_cpp_itself(store, models, itself, kind, nats, bos):
    """Weights as they are to 1e-3 nats; of Q8_0 it rounds the activations too."""
    scored = by_llama_cpp(models[kind, bos])
    here = score(models[kind, bos], TEXTS, progress=False)
    np.testing.assert_allclose(scored.log_likelihoods, here.log_likelihoods, rtol=0, atol=nats)


@pytest.fixture
def served(models, itself):
    """llama-cpp-python's own server, for a model by its BOS."""
    running = []

    def serve(bos):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        asked = f"--model {models['F32', bos]} --logits_all true --n_ctx 256 --port {port}"
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "llama_cpp.server", *asked.split()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        url = f"http://127.0.0.1:{port}/v1"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/models", timeout=1).close()
                return url
            except OSError:
                assert running[-1].poll() is None
                time.sleep(0.2)
        raise AssertionError("the server does not answer")

    yield serve
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.heavy
def test_its_server_with_a_bos(store, models, served):
    """It hides the value of the first token, and all others are right."""
    url = served(True)
    given = {"engine": "endpoint", "url": url, "progress": False}
    with pytest.raises(InputError, match=r"no value for the first token"):
        score(models["F32", True], TEXTS, **given)
    scored = score(models["F32", True], TEXTS, bos="never", **given)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = models["folder", True]
    model = AutoModelForCausalLM.from_pretrained(folder).double()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in TEXTS.texts:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        table = model(ids).logits[0].log_softmax(-1)
        expected.append(sum(float(table[at - 1, int(ids[0, at])]) for at in range(2, ids.shape[1])))
    np.testing.assert_allclose(scored.log_likelihoods, expected, rtol=0, atol=1e-3)


@pytest.mark.heavy
def test_its_server_without_a_bos_is_shifted_by_one(store, models, served):
    with pytest.raises(ScoringError, match=r"shifted by one"):
        score(
            models["F32", False],
            TEXTS,
            engine="endpoint",
            url=served(False),
            progress=False,
            agreement=0,
        )
