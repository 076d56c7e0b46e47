"""A model behind a server is scored as at hand; a server that does it wrong is found out."""

from __future__ import annotations

import re

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import ScoringSettings, TextSet, score
from mlflow_modelmap.drivers.score import spool
from mlflow_modelmap.errors import InputError, ModelMapError, ScoringError
from mlflow_modelmap.scoring.served.address import KEY_VARIABLE, base_and_route
from tests import tiny
from tests.completion_server import LLAMA_CPP, SGLANG, VLLM, CompletionServer, trained

TEXTS = TextSet("sentences", tuple(tiny.SENTENCES))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("endpoint") / "tiny")


@pytest.fixture(scope="module")
def with_bos(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("endpoint") / "tiny-bos", bos=True)


def by_hand(server, texts=TEXTS, first=1):
    """Sums over tokens in float64, of the tokenizer's own ids."""
    found = []
    for text in texts.texts:
        ids = server.tokenizer(text)["input_ids"]
        table = server.table(ids)
        found.append(sum(table[at - 1, ids[at]] for at in range(first, len(ids))))
    return np.array(found)


def asked(server, folder, texts=TEXTS, **given):
    given = {"tokenizer": folder, "progress": False, **given}
    return score("tiny", texts, engine="endpoint", url=server.url, **given)


@pytest.mark.parametrize("kind", [VLLM, LLAMA_CPP, SGLANG])
def test_the_values_are_those_of_float64(store, model, kind):
    with CompletionServer(model, kind) as server:
        url = f"{server.url}/generate" if kind == SGLANG else server.url
        scored = score("tiny", TEXTS, engine="endpoint", url=url, tokenizer=model, progress=False)
        np.testing.assert_allclose(scored.log_likelihoods, by_hand(server), rtol=0, atol=1e-3)
        run = mlflow.get_run(scored.run_id)
        assert run.data.tags["modelmap.engine"] == "endpoint"
        assert run.data.tags["modelmap.precision"] == "unknown"
        assert run.data.tags["modelmap.model"] == "tiny"
        assert run.info.run_name == "tiny endpoint"
        takes = "text" if kind == LLAMA_CPP else "tokens"
        assert run.data.params["modelmap.endpoint_takes"] == takes
        assert float(run.data.params["modelmap.made_and_read_apart"]) < 1e-6
        assert run.data.metrics["modelmap/scored_tokens"] == sum(
            len(server.tokenizer(text)["input_ids"]) - 1 for text in TEXTS.texts
        )
        asked_again = score(
            "tiny", TEXTS, engine="endpoint", url=url, tokenizer=model, progress=False
        )
        assert asked_again.skipped
        assert "--again" in asked_again.notices[0]


def test_only_what_is_needed_is_asked_for(store, model):
    with CompletionServer(model) as server:
        asked(server, model, concurrency=3)
        questions = [content for _, content, _ in server.requests]
        assert {question["logprobs"] for question in questions} == {0}
        assert all(isinstance(question["prompt"], list) for question in questions)
        assert server.most_at_once <= 3


def test_a_bos_conditions_and_the_first_token_is_scored(store, with_bos):
    with CompletionServer(with_bos) as server:
        scored = asked(server, with_bos)
        np.testing.assert_allclose(scored.log_likelihoods, by_hand(server), rtol=0, atol=1e-3)


def test_a_server_that_hides_the_first_token_is_scored_without_it(store, with_bos):
    with CompletionServer(with_bos, LLAMA_CPP) as server:
        with pytest.raises(InputError, match=r"no value for the first token .*bos=never"):
            asked(server, with_bos)
        scored = asked(server, with_bos, bos="never")
        expected = by_hand(server, first=2)  # behind the server's BOS and the first token
        np.testing.assert_allclose(scored.log_likelihoods, expected, rtol=0, atol=1e-3)
        assert mlflow.get_run(scored.run_id).data.params["modelmap.endpoint_bos"] == "true"
        at_hand = score(
            with_bos, TEXTS, engine="endpoint", url=server.url, bos="never", progress=False
        )
        np.testing.assert_allclose(at_hand.log_likelihoods, expected, rtol=0, atol=1e-3)
        assert any("BOS of its own" in notice for notice in at_hand.notices)


@pytest.mark.parametrize(
    ("lie", "found_out"),
    [
        ("shifted", "when it reads it than when it made it"),
        ("dropped", "does not score the tokens of text"),
        ("truncated", "entries for .* tokens"),
        ("later", "what comes later must not count|than when it made it"),
        ("no context", "whatever comes before|than when it made it"),
        ("positive", "0 or less|than when it made it"),
        ("null", "no finite log-likelihood for token 5"),
        ("first null", "no finite log-likelihood for token 1"),
        ("company", "asked for together"),
    ],
)
def test_lies(store, model, lie, found_out):
    with CompletionServer(model) as server:
        server.lie = lie
        with pytest.raises(ModelMapError) as error:
            asked(server, model)
        sentence = str(error.value)
        assert re.search(found_out, sentence), sentence
        assert server.url in sentence
    assert (
        not mlflow.search_runs(["0"], "tags.`modelmap.kind` = 'score'")
        .query("status == 'FINISHED'")
        .shape[0]
    )


def test_numbers_worse_than_chance(store, model, tmp_path):
    """Another model's numbers, which no proof of form can tell from this one's."""
    tiny.make_model(tmp_path / "random", "llama", seed=3)
    with (
        CompletionServer(tmp_path / "random") as server,
        pytest.raises(ScoringError, match=r"less likely .* than tokens drawn at random"),
    ):
        asked(server, model)


def test_weights_at_hand_hold_a_server_to_them(store, model, tmp_path):
    with CompletionServer(model) as server:
        scored = score(model, TEXTS, engine="endpoint", url=server.url, progress=False, agreement=4)
        params = mlflow.get_run(scored.run_id).data.params
        assert params["modelmap.agreement_texts"] == "4"
        assert float(params["modelmap.agreement_nats_a_token"]) < 1e-3
        assert mlflow.get_run(scored.run_id).data.tags["modelmap.model"] == str(model.resolve())
        server.lie = "half"  # as of another temperature
        with pytest.raises(ScoringError, match=r"does not give what the weights in"):
            score(model, TEXTS, engine="endpoint", url=server.url, progress=False, again=True)
    other = trained(tmp_path / "other", steps=20)
    with (
        CompletionServer(other) as server,
        pytest.raises(
            ScoringError, match=r"does not give what the weights in .* computes another model"
        ),
    ):
        score(model, TEXTS, engine="endpoint", url=server.url, progress=False)


def test_another_tokenizer_is_found_out(store, model, tmp_path):
    tiny.make_tokenizer(tmp_path / "other", vocab_size=300)
    with (
        CompletionServer(model, LLAMA_CPP) as server,
        pytest.raises(
            ScoringError, match="another tokenizer; give the model's own with --tokenizer"
        ),
    ):
        asked(server, tmp_path / "other")


def test_windows_of_long_texts(store, model):
    long = TextSet("long", (" ".join(tiny.SENTENCES[:2]), tiny.SENTENCES[3]))
    given = {"overlong": "window", "window_tokens": 24, "stride": 8}
    here = score(model, long, progress=False, **given)
    with CompletionServer(model) as server:
        there = asked(server, model, long, **given)
        np.testing.assert_allclose(there.log_likelihoods, here.log_likelihoods, rtol=0, atol=1e-3)
    with (
        CompletionServer(model, LLAMA_CPP) as server,
        pytest.raises(InputError, match="takes text and no tokens"),
    ):
        asked(server, model, long, **given)


def test_the_server_s_own_limit_counts(store, model):
    with (
        CompletionServer(model, limit=20) as server,
        pytest.raises(InputError, match="more than the 19 tokens"),
    ):
        asked(server, model)


def test_a_busy_server_is_asked_again_and_a_dead_one_loses_nothing(store, model, monkeypatch):
    many = TextSet("many", tuple(f"{text} {n}" for n in range(12) for text in tiny.SENTENCES))
    with CompletionServer(model) as server:
        server.busy = 3
        asked(server, model)
        server.requests.clear()
        count = 0
        original = CompletionServer.entries

        def dies(self, ids):
            nonlocal count
            count += 1
            if count > 40:
                self.busy = 10**6
            return original(self, ids)

        monkeypatch.setattr(CompletionServer, "entries", dies)
        monkeypatch.setattr("mlflow_modelmap.scoring.served.client.RETRIES", 1)
        with pytest.raises(ScoringError, match="503"):
            asked(server, model, many, concurrency=2)
        monkeypatch.setattr(CompletionServer, "entries", original)
        (left,) = spool.spool_folder().glob("*.values")
        read = len(left.read_text().splitlines()) - 1
        assert read > 10
        server.busy = 0
        server.requests.clear()
        scored = asked(server, model, many, concurrency=2)
        np.testing.assert_allclose(scored.log_likelihoods, by_hand(server, many), rtol=0, atol=1e-3)
        assert mlflow.get_run(scored.run_id).data.params["modelmap.resumed"] == str(read)
        assert not list(spool.spool_folder().glob("*.values"))


def test_values_of_another_model_are_not_gone_on_with(store, model, tmp_path, monkeypatch):
    other = trained(tmp_path / "other", steps=20)
    with CompletionServer(model) as server:
        monkeypatch.setattr("mlflow_modelmap.scoring.served.client.RETRIES", 0)

        original = CompletionServer.entries
        count = 0

        def dies(self, ids):
            nonlocal count
            count += 1
            if count > 22:
                self.busy = 10**6
            return original(self, ids)

        monkeypatch.setattr(CompletionServer, "entries", dies)
        with pytest.raises(ScoringError):
            asked(server, model, concurrency=1)
        monkeypatch.setattr(CompletionServer, "entries", original)
        assert list(spool.spool_folder().glob("*.values"))
        server.busy = 0
        from transformers import AutoModelForCausalLM

        server.model = AutoModelForCausalLM.from_pretrained(other).double()
        scored = asked(server, model)
        np.testing.assert_allclose(scored.log_likelihoods, by_hand(server), rtol=0, atol=1e-3)
        assert any("read again" in notice for notice in scored.notices)


def test_the_key_goes_into_a_header_and_nowhere_else(store, model, monkeypatch):
    with CompletionServer(model) as server:
        server.key = "s3cr3t-of-the-server"
        with pytest.raises(InputError, match=rf"wants a key; .* {KEY_VARIABLE}"):
            asked(server, model)
        monkeypatch.setenv(KEY_VARIABLE, server.key)
        scored = asked(server, model)
        assert {header for _, _, header in server.requests} == {f"Bearer {server.key}"}
        assert server.key not in str(mlflow.get_run(scored.run_id).to_dictionary())


def test_which_of_several_models(store, model):
    with CompletionServer(model, names=("org/one", "org/two")) as server:
        with pytest.raises(InputError, match=r"serves 'org/one', 'org/two'.*--served-model"):
            asked(server, model)
        with pytest.raises(InputError, match="serves no 'three'"):
            asked(server, model, served_model="three")
        scored = asked(server, model, served_model="org/two")
        assert mlflow.get_run(scored.run_id).data.params["modelmap.served_model"] == "org/two"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("localhost:8000", "no address of a server"),
        ("ftp://host/v1", "no address of a server"),
        ("http://user:word@host/v1", "holds more than an address"),
        ("http://host/v1?key=word", "holds more than an address"),
        ("http://host:port/v1", "no address of a server"),
    ],
)
def test_an_address_that_is_none(url, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        ScoringSettings(engine="endpoint", url=url)
    assert "word" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"engine": "endpoint"}, "needs the server's address"),
        ({"url": "http://host/v1"}, "url goes with engine=endpoint"),
        ({"engine": "vllm", "layers": True}, "layers goes with engine=transformers"),
        ({"engine": "vllm", "precision": "nf4"}, "makes none nf4"),
        ({"engine": "llama.cpp", "device_map": "auto"}, "device_map goes with"),
        ({"engine": "tgi"}, "Unknown engine 'tgi'; choose one of transformers, vllm"),
        ({"tensor_parallel": 2}, "tensor_parallel goes with engine=vllm"),
    ],
)
def test_settings_that_do_not_go_together(given, sentence):
    with pytest.raises(InputError, match=sentence):
        ScoringSettings(**given)


def test_no_server_there(store, model, monkeypatch):
    monkeypatch.setattr("mlflow_modelmap.scoring.served.client.RETRIES", 0)
    with pytest.raises(ScoringError, match=r"does not answer .*refused.*--url"):
        score(
            "tiny",
            TEXTS,
            engine="endpoint",
            url="http://127.0.0.1:9/v1",
            tokenizer=model,
            progress=False,
        )


def test_no_tokenizer_known(store, model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with (
        CompletionServer(model) as server,
        pytest.raises(InputError, match=r"tokenizer of 'tiny:20b' is needed .*--tokenizer"),
    ):
        score("tiny:20b", TEXTS, engine="endpoint", url=server.url, progress=False)


def test_addresses():
    assert base_and_route("http://h:1") == ("http://h:1/v1", "completions")
    assert base_and_route("http://h:1/v1/") == ("http://h:1/v1", "completions")
    assert base_and_route("https://h/api/v1/completions") == ("https://h/api/v1", "completions")
    assert base_and_route("http://h:1/generate") == ("http://h:1", "generate")
