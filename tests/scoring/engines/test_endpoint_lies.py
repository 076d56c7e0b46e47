"""What servers say and no client should believe, or pass on."""

from __future__ import annotations

import copy
import threading
import time

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import TextSet, score
from mlflow_modelmap.errors import InputError, ModelMapError, ScoringError
from mlflow_modelmap.scoring.engines.endpoint import EndpointReader
from mlflow_modelmap.scoring.engines.kept_values import KeptValues
from mlflow_modelmap.scoring.engines.proof import check_values
from mlflow_modelmap.scoring.engines.reader import Row
from mlflow_modelmap.scoring.engines.score_by_engine import _Pass
from mlflow_modelmap.scoring.model.reference import Served
from mlflow_modelmap.scoring.served.address import KEY_VARIABLE, base_and_route
from mlflow_modelmap.scoring.served.alignment import Spelling
from mlflow_modelmap.scoring.served.answers import Entry, completion_answer
from mlflow_modelmap.scoring.served.client import Client
from tests import tiny
from tests.completion_server import LLAMA_CPP, CompletionServer, _Handler, trained

TEXTS = TextSet("sentences", tuple(tiny.SENTENCES))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("lies") / "tiny", steps=30)


def asked(server, folder, texts=TEXTS, **given):
    given = {"tokenizer": folder, "progress": False, **given}
    return score("tiny", texts, engine="endpoint", url=server.url, **given)


def said(value, name="token_id:5", made=1):
    logprobs = {"token_logprobs": [None, value], "tokens": ["token_id:4", name]}
    usage = {"completion_tokens": made, "prompt_tokens": 1}
    return {"choices": [{"text": "", "logprobs": logprobs}], "usage": usage}


def test_numbers_that_no_machine_holds():
    assert np.isnan(completion_answer(said(-(10**400))).entries[1].log_likelihood)
    assert completion_answer(said(-1.0, "token_id:" + "9" * 5000)).entries[1].token_id is None
    assert completion_answer(said(-1.0, made=-3)).made == 0


def test_what_stands_for_minus_infinity_is_no_value():
    row = Row(np.arange(4), None, "text 7")
    with pytest.raises(ScoringError, match=r"-9999 for token 2 of text 7.*top-k.*bfloat16"):
        check_values(row, np.array([-1.0, -9999.0, -2.0]), 1, "The server", False)


@pytest.mark.parametrize("how", [str.strip, lambda text: text.replace("\n", " ")])
@pytest.mark.parametrize("shows_made", [False, True])
def test_a_server_that_trims_texts_is_found_out(store, model, monkeypatch, how, shows_made):
    original = _Handler.completion

    def trims(self, content):
        content = {**content, "prompt": how(content["prompt"])}
        answer = original(self, content)
        if shows_made and content["echo"]:
            logprobs = answer["choices"][0]["logprobs"]
            logprobs["tokens"].append(" the")
            logprobs["token_logprobs"].append(-1.0)
        return answer

    monkeypatch.setattr(_Handler, "completion", trims)
    spaced = TextSet("spaced", tuple(f" {text}\n" for text in TEXTS.texts))
    with (
        CompletionServer(model, LLAMA_CPP) as server,
        pytest.raises(ScoringError, match=r"tokens"),
    ):
        asked(server, model, spaced)


def test_spaces_and_line_breaks_are_part_of_a_token(model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    spelling = Spelling(tokenizer)
    ids = tokenizer("A cat\n\r")["input_ids"]
    own = [spelling.of(token) for token in ids]
    assert "\n" in own
    for token, text in zip(ids, own, strict=True):
        assert not spelling.says_other(Entry(-1.0, text), token)
        assert spelling.says_other(Entry(-1.0, f" {text}"), token)
    line_break = ids[own.index("\n")]
    assert spelling.says_other(Entry(-1.0, " the"), line_break)
    assert spelling.says_other(Entry(-1.0, "\r\n"), line_break)
    assert not spelling.says_other(Entry(-1.0, "Ċ"), line_break)


def test_a_second_reading_is_checked_too(store, model, monkeypatch):
    original = _Pass.again

    def worse_by_then(self, *wanted):
        server.lie = "null"
        return original(self, *wanted)

    monkeypatch.setattr(_Pass, "again", worse_by_then)
    with (
        CompletionServer(model) as server,
        pytest.raises(ScoringError, match="no finite log-likelihood for token 5"),
    ):
        asked(server, model)


@pytest.mark.parametrize(
    ("after", "sentence"),
    [("86400", r"left alone for \d+ seconds"), ("soon", "503"), ("-5", "503")],
)
def test_how_long_a_server_asks_to_wait(store, model, monkeypatch, after, sentence):
    monkeypatch.setattr("mlflow_modelmap.scoring.served.client.RETRIES", 1)
    with CompletionServer(model) as server:
        server.busy, server.retry_after = 10**6, after
        with pytest.raises(ScoringError, match=sentence):
            asked(server, model)


@pytest.mark.parametrize("key", ["sk-abc\ndefgh", "schlüssel"])
def test_a_key_that_is_none_is_not_shown(monkeypatch, key):
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(InputError, match=KEY_VARIABLE) as error:
        Client("http://127.0.0.1:9")
    assert "defgh" not in str(error.value)


@pytest.mark.parametrize(("status", "sentence"), [(401, "does not take the key"), (400, "bad key")])
def test_a_key_that_a_server_says_is_not_passed_on(store, model, monkeypatch, status, sentence):
    monkeypatch.setenv(KEY_VARIABLE, "letmein")
    monkeypatch.setattr(
        _Handler,
        "complete",
        lambda self, content: self.answer({"error": {"message": "bad key letmein"}}, status),
    )
    with CompletionServer(model) as server, pytest.raises(ModelMapError, match=sentence) as error:
        asked(server, model)
    assert "letmein" not in str(error.value)
    for run in mlflow.search_runs(["0"], output_format="list"):
        assert "letmein" not in str(run.to_dictionary())


def test_threads_that_wait_for_a_server_keep_no_process():
    """Python ends without them: a server that hangs does not hold Ctrl-C up."""
    hang = threading.Event()

    class Hangs:
        url = "http://127.0.0.1:9/v1"

        def post(self, *asked):
            hang.wait(30)
            raise ScoringError("over")

    served = Served(Hangs.url, "completions", "tiny")
    reader = EndpointReader(Hangs(), served, None, has_bos=False, concurrency=3)
    reading = reader.read([Row(np.arange(3), None, f"text {n}") for n in range(3)])

    def first():
        with pytest.raises(ScoringError):
            next(reading)

    threading.Thread(target=first, daemon=True).start()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        threads = [t for t in threading.enumerate() if "modelmap-ask" in t.name]
        if len(threads) == 3:
            break
        time.sleep(0.01)
    hang.set()
    assert len(threads) == 3
    assert all(thread.daemon for thread in threads)


def test_values_on_disk_that_are_none(tmp_path):
    ids = [np.arange(3), np.arange(4), np.arange(5)]
    path = tmp_path / "some.values"
    with KeptValues(path).open(ids) as kept:
        kept.add(0, -1.0)
    path.write_text(path.read_text() + "[1, -Infinity]\n[2, 7.5]\n" + "[" * 10**5 + "\n")
    assert KeptValues(path).open(ids).found == {0: -1.0}
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n")
    assert KeptValues(path).open(ids).found == {0: -1.0}


def test_made_anew_goes_on_with_nothing_older(tmp_path):
    ids = [np.arange(3), np.arange(4)]
    path = tmp_path / "some.values"
    for again, value in ((False, -1.0), (True, -2.0)):
        with KeptValues(path, again=again).open(ids) as kept:
            assert kept.found == {}
            kept.add(0, value)
    assert KeptValues(path, again=True).open(ids).found == {0: -2.0}
    assert KeptValues(path).open(ids).found == {0: -2.0}


def test_an_address_spelled_otherwise_is_the_same_score(store, model):
    assert base_and_route("http://h:1/v1/chat/completions") == base_and_route("http://h:1")
    with CompletionServer(model) as server:
        asked(server, model)
        for url in (f"{server.url}/v1/", f"{server.url}/v1/chat/completions"):
            found = score(
                "tiny",
                TEXTS,
                engine="endpoint",
                url=url,
                served_model="tiny",
                concurrency=2,
                tokenizer=model,
                progress=False,
            )
            assert found.skipped


def test_a_refusal_in_the_middle_names_the_text(store, model, monkeypatch):
    original = _Handler.complete

    def refuses(self, content):
        if len(self.of.requests) > 24:
            return self.answer({"error": {"message": "too long"}}, 400)
        return original(self, content)

    many = TextSet("many", tuple(copy.copy(f"{t} {n}") for n in range(9) for t in tiny.SENTENCES))
    monkeypatch.setattr(_Handler, "complete", refuses)
    with (
        CompletionServer(model) as server,
        pytest.raises(ScoringError, match=r"score text \d+: it answers 400 \(too long\)"),
    ):
        asked(server, model, many)


def test_one_value_for_every_token_is_none():
    row = Row(np.arange(40), None, "text 3")
    with pytest.raises(ScoringError, match=r"every token of text 3 the same value, -2\.5"):
        check_values(row, np.full(39, -2.5), 1, "The server", False)
    check_values(row, np.linspace(-3, -2, 39), 1, "The server", False)
