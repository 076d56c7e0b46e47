"""GGUF files as models: from a directory or the Hub, scored as their dequantised weights."""

from __future__ import annotations

import json
import os
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.drivers.score import resolve
from mlflow_modelmap.drivers.score.prepare import resolve_model
from mlflow_modelmap.machine.folders import left_folders
from mlflow_modelmap.scoring.model import gguf_file
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import adapters, tiny
from tests.gguf_model import NEEDED, write_gguf
from tests.hub_server import HubServer
from tests.scoring.reckoning import plain as in_full
from tests.scoring.tokenizer import foreign_class

pytestmark = pytest.mark.skipif(tiny.TRANSFORMERS < 5, reason=NEEDED)
TEXTS = TextSet("split", (*foreign_class.TEXTS, *tiny.SENTENCES))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A Llama with a Llama 3 tokenizer."""
    path = tmp_path_factory.mktemp("llama")
    tiny.make_model(path, "llama", hidden_size=64, intermediate_size=128, seed=3)
    foreign_class.write(path, None)
    return path


def _files(path):
    return resolve_model(ModelReference.parse(str(path)))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F16", "F32"])
def test_the_score_is_that_of_the_dequantised_weights(store, llama, tmp_path, kind):
    path = tmp_path / f"tiny-{kind}.gguf"
    weights = write_gguf(path, llama, kind)
    done = mm.score(path, TEXTS, progress=False)
    tokenizer = Tokenizer.from_file(str(llama / "tokenizer.json"))
    ids = [one.ids for one in tokenizer.encode_batch(list(TEXTS.texts), add_special_tokens=False)]
    model = AutoModelForCausalLM.from_pretrained(llama).double().eval()
    model.load_state_dict({name: torch.from_numpy(w).double() for name, w in weights.items()})
    np.testing.assert_allclose(done.log_likelihoods, in_full(model, ids), atol=1e-3, rtol=0)
    run = mlflow.MlflowClient(store).get_run(done.run_id)
    said = {"F16": "float32", "F32": "float32"}.get(kind, kind)
    assert run.data.tags["modelmap.precision"] == said
    assert run.data.tags["modelmap.model"] == str(path.resolve())
    assert run.data.tags["modelmap.commit"].startswith("sha256:")
    assert mm.score(path, TEXTS, progress=False).skipped


def test_another_precision_cannot_be_had_of_it(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "Q8_0")
    with pytest.raises(InputError, match=r"stored quantised \(Q8_0, by gguf\)"):
        mm.score(path, TEXTS, precision="float32", progress=False)


def test_a_type_that_is_not_said_is_that_of_most_weights(llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "Q4_0", said=False)
    config = read_config(_files(path).model_path)
    assert config["quantization_config"]["file_type"] == "Q4_0"


def test_digits_apart_is_a_pre_tokenizer_of_its_own(llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "F32", pre="smollm")
    stored = Tokenizer.from_file(str(llama / "tokenizer.json"))
    stored.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    expected = stored.encode_batch(list(TEXTS.texts), add_special_tokens=False)
    tokens = tokenize(_files(path).tokenizer_path, TEXTS, ScoringSettings())
    assert [list(row) for row in tokens.ids] == [one.ids for one in expected]


def test_an_unknown_pre_tokenizer_needs_the_model_s_own_tokenizer(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "F32", pre="of-tomorrow")
    with pytest.raises(InputError, match=r"splits text as 'of-tomorrow'.*--tokenizer"):
        _files(path)
    done = mm.score(path, TEXTS, tokenizer=llama, progress=False)
    whole = mm.score(llama, TEXTS, bos="never", progress=False)
    again = mm.score(path, TEXTS, tokenizer=llama, bos="never", progress=False)
    np.testing.assert_allclose(again.log_likelihoods, whole.log_likelihoods, atol=1e-3)
    assert not np.allclose(done.log_likelihoods, again.log_likelihoods)  # its tokenizer adds a BOS


def test_another_model_s_tokenizer_is_refused(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "F32")
    tiny.make_tokenizer(tmp_path / "other")
    with pytest.raises(InputError, match="is another one than that of the GGUF file"):
        mm.score(path, TEXTS, tokenizer=tmp_path / "other", progress=False)


def test_from_the_hub(store, llama, tmp_path, monkeypatch):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "Q8_0")
    expected = mm.score(path, TEXTS, progress=False)
    with HubServer() as hub:
        commit = hub.add("org/tiny-GGUF", {"Q8/tiny-Q8_0.gguf": path.read_bytes()})
        hub.use(monkeypatch, tmp_path / "cache")
        done = mm.score("org/tiny-GGUF/Q8/tiny-Q8_0.gguf", TEXTS, progress=False)
        pinned = mm.score("org/tiny-GGUF@main:Q8/tiny-Q8_0.gguf", TEXTS, progress=False)
        with pytest.raises(InputError, match=r"has no file 'none.gguf'"):
            mm.score("org/tiny-GGUF/none.gguf", TEXTS, progress=False)
        hub.status = 503
        assert mm.score("org/tiny-GGUF/Q8/tiny-Q8_0.gguf", TEXTS, progress=False).skipped
    np.testing.assert_array_equal(done.log_likelihoods, expected.log_likelihoods)
    np.testing.assert_array_equal(pinned.log_likelihoods, expected.log_likelihoods)
    tags = mlflow.MlflowClient(store).get_run(done.run_id).data.tags
    assert tags["modelmap.commit"] == commit
    assert tags["modelmap.model"] == "org/tiny-GGUF/Q8/tiny-Q8_0.gguf"


def test_references():
    found = ModelReference.parse("org/name/file.Q4_K_M.gguf")
    assert (found.kind, found.gguf) == ("hub", ("org/name", "file.Q4_K_M.gguf"))
    found = ModelReference.parse("org/name@v2:sub/file.gguf")
    assert (found.gguf, found.revision) == (("org/name", "sub/file.gguf"), "v2")
    assert ModelReference.parse(str(found)) == found
    assert ModelReference.parse("org/name/file.gguf", "v2").revision == "v2"
    for written in ("./none.gguf", "none.gguf", "org/name/../file.gguf", "/a/b.gguf"):
        with pytest.raises(InputError, match=r"There is no file .*org/name/file.gguf"):
            ModelReference.parse(written)
    with pytest.raises(InputError, match="was given as well"):
        ModelReference.parse("org/name@v2:file.gguf", "v3")


def _gguf(tensors, values, rest=b"", version=3):
    """The beginning of a GGUF file, whatever it then claims."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + rest


def _text(of):
    return struct.pack("<Q", len(of)) + of


ARCHITECTURE = _text(b"general.architecture") + struct.pack("<I", 8)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no GGUF file"),
        (b"GGML....", "no GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1", "no GGUF file"),
        (b"GGUF\x03\0\0\0\xff", "cannot be read"),
        (_gguf(0, 2**60), "cannot be read"),
        (_gguf(2**60, 0), "cannot be read"),
        (_gguf(0, 1, struct.pack("<Q", 2**60)), "cannot be read"),
        (_gguf(0, 1, _text(b"a") + struct.pack("<IIQ", 9, 10, 2**62)), "cannot be read"),
        (_gguf(0, 1, _text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 999), "array"),
        (_gguf(0, 1, ARCHITECTURE + _text(b"../../etc")), "no causal language model"),
        (_gguf(0, 0, version=1), "cannot be read"),
    ],
)
def test_what_is_no_gguf_is_one_sentence(tmp_path, content, told):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        _files(path)
    assert "\n" not in str(caught.value)


def test_a_part_of_several_is_refused(tmp_path):
    path = tmp_path / "model-00001-of-00002.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(InputError, match="llama-gguf-split --merge"):
        _files(path)


def test_its_folder_is_one_that_is_cleaned_up(llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "F32")
    folder = Path(_files(path).model_path)
    assert folder == Path(_files(path).model_path)  # once a process
    assert folder.name.startswith(f"modelmap-{os.getpid()}-")
    assert folder not in left_folders()


def test_its_tokenizer_for_another_model(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "F32")
    done = mm.score(llama, TEXTS, tokenizer=path, progress=False)
    expected = mm.score(llama, TEXTS, bos="never", progress=False)
    np.testing.assert_array_equal(done.log_likelihoods, expected.log_likelihoods)


def test_an_adapter_on_it_is_merged_into_its_dequantised_weights(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    weights = write_gguf(path, llama, "Q8_0")
    adapter = adapters.make_adapter(tmp_path / "adapter", llama, adapters.lora("llama"))
    done = mm.score(adapter, TEXTS, base=path, bos="never", progress=False)
    plain = AutoModelForCausalLM.from_pretrained(llama)
    plain.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    plain.save_pretrained(tmp_path / "plain")
    foreign_class.write(tmp_path / "plain", None)
    expected = mm.score(adapter, TEXTS, base=tmp_path / "plain", bos="never", progress=False)
    np.testing.assert_allclose(done.log_likelihoods, expected.log_likelihoods, atol=1e-3)
    run = mlflow.MlflowClient(store).get_run(done.run_id)
    assert run.data.params["modelmap.adapter_merged"] == "true"


def test_it_is_compared_exactly_with_what_it_was_made_from(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "Q8_0")
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(list(TEXTS.texts)))
    whole = mm.score(llama, texts, bos="never", progress=False)
    copy = mm.score(path, texts, progress=False)
    found = mm.compare(whole.run_id, copy.run_id, exact=True)
    assert 0 < found.exact.forward < 1
    assert found.exact.bits_per_byte_second == pytest.approx(copy.bits_per_byte, abs=1e-4)


def test_a_repository_may_be_called_like_a_file():
    found = ModelReference.parse("org/name.gguf@main")
    assert (found.name, found.revision, found.gguf) == ("org/name.gguf", "main", None)
    assert ModelReference.parse("org/name.gguf/file.gguf").gguf == ("org/name.gguf", "file.gguf")


def test_a_link_as_in_the_hub_s_cache(store, llama, tmp_path, monkeypatch):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    write_gguf(tmp_path / "blobs" / "0a1b2c", llama, "F32")
    link = tmp_path / "snapshot" / "tiny.gguf"
    link.symlink_to("../blobs/0a1b2c")
    done = mm.score(link, TEXTS, progress=False)
    assert mlflow.MlflowClient(store).get_run(done.run_id).data.tags["modelmap.model"] == str(link)
    monkeypatch.chdir(link.parent)
    other = mm.score(llama, TEXTS, tokenizer="tiny.gguf", progress=False)
    run = mlflow.MlflowClient(store).get_run(other.run_id)
    assert run.data.params["modelmap.tokenizer"] == str(link)
    assert mm.compare("./tiny.gguf", other.run_id).a.run_id == done.run_id


def test_a_gate_scores_it(store, llama, tmp_path):
    path, texts = tmp_path / "tiny.gguf", tmp_path / "texts.json"
    write_gguf(path, llama, "Q8_0")
    texts.write_text(json.dumps([*TEXTS.texts, *(f"{text} again" for text in TEXTS.texts)]))
    decided = mm.gate(path, llama, texts, max_kl=50, settings=ScoringSettings(bos="never"))
    assert decided.candidate.precision == "Q8_0"


def test_an_adapter_s_own_tokenizer_and_base_are_held_against_it(store, llama, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, llama, "F32")
    adapter = adapters.make_adapter(
        tmp_path / "adapter", llama, adapters.lora("llama"), named=str(path)
    )
    own = mm.score(adapter, TEXTS, progress=False)  # the base that it names is here
    assert not own.skipped
    foreign_class.write(adapter, None)
    assert not mm.score(adapter, TEXTS, bos="never", progress=False).skipped
    stored = json.loads((adapter / "tokenizer.json").read_text())
    vocabulary = stored["model"]["vocab"]
    first, second = (next(t for t, i in vocabulary.items() if i == n) for n in (300, 301))
    vocabulary[first], vocabulary[second] = 301, 300
    (adapter / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match="is another one than that of the GGUF file"):
        mm.score(adapter, TEXTS, bos="never", progress=False)


def test_two_that_ask_for_one_file_at_once_get_one_folder_that_stays(tmp_path, monkeypatch):
    made = []

    def write_folder(path, folder, own_tokenizer):
        made.append(folder)
        time.sleep(0.2)

    monkeypatch.setattr(gguf_file, "write_folder", write_folder)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    reference = ModelReference.parse(str(tmp_path / "x.gguf"))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: resolve._gguf_files(reference, None).model_path, range(2)))
    assert len(made) == len(set(found)) == 1
    assert Path(found[0]).is_dir()
