"""Responses without their prompts: the right tokens and sums, found again, and PMI exactly."""

from __future__ import annotations

import math
import sys
import unittest.mock
from dataclasses import replace

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, ScoringSettings, TextSet
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import llama_cpp_stand_in, tiny
from tests.completion_server import CompletionServer
from tests.gguf_model import write_gguf
from tests.scoring.tokenizer.chat_templates import CHATML, chat_model

# The last response is one token of the tiny tokenizer, which no text set could score without BOS.
PROMPTS = ("What does a fox do?", "Name 京都 in letters.", "What does a fox do?", "One letter?")
RESPONSES = ("The quick brown fox jumps.", "Kyoto, 2,718 times: 京都.", "x = np.zeros((3, 4))", "a")
PAIRS = TextSet("pairs", RESPONSES, prompts=PROMPTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A chat model whose tokenizer puts no BOS, and one whose tokenizer puts <s>."""
    there = tmp_path_factory.mktemp("alone")
    with_bos = tiny.make_model(there / "bos", "llama", bos=True)
    return {"chatml": chat_model(there / "chatml", CHATML), "bos": with_bos}


def by_hand(folder, start, responses=RESPONSES, end=None):
    """Sums of float64 log-softmax over every token behind the one that begins."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).double()
    found = []
    for response in responses:
        ids = [tokenizer.convert_tokens_to_ids(start)]
        ids += tokenizer(response, add_special_tokens=False)["input_ids"]
        ids += [] if end is None else [tokenizer.convert_tokens_to_ids(end)]
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        found.append(math.fsum(float(table[at - 1, ids[at]]) for at in range(1, len(ids))))
    return np.array(found)


def kept(run_id):
    """The table that a run holds."""
    root = local_path(mlflow.get_run(run_id).info.artifact_uri)
    return pq.read_table(root / "modelmap" / "log_likelihoods.parquet").to_pydict()


@pytest.mark.parametrize(
    ("which", "start", "end"),
    [
        ("chatml", "<|endoftext|>", None),
        ("chatml", "<|endoftext|>", "<|im_end|>"),
        ("bos", "<s>", None),
    ],
)
def test_every_token_of_a_response_is_scored_alone_too(store, models, which, start, end):
    folder, ends = models[which], end is not None
    scored = mm.score(folder, PAIRS, unconditional=True, end_of_turn=ends, progress=False)
    table = kept(scored.run_id)
    alone = np.array(table["unconditional_log_likelihood"])
    np.testing.assert_allclose(alone, by_hand(folder, start, end=end), rtol=0, atol=1e-3)
    run = mlflow.get_run(scored.run_id).data
    assert run.params["modelmap.unconditional_start"] == start
    assert run.params["modelmap.unconditional"] == run.tags["modelmap.unconditional"] == "true"
    both = tokenize(folder, PAIRS, ScoringSettings(unconditional=True, end_of_turn=ends))
    assert both.without_prompts.scored.tolist() == both.scored.tolist()
    assert run.params["modelmap.unconditional_tokens"] == str(both.scored.sum())
    vectors = {
        kind: read_matrix(select_runs(run_ids=[scored.run_id]), vector=kind)
        for kind in ("conditional", "unconditional", "pmi")
    }
    behind = vectors["conditional"][0].values[0]
    assert behind.tolist() == table["log_likelihood"]
    assert vectors["unconditional"][0].values[0].tolist() == alone.tolist()
    assert vectors["pmi"][0].values[0].tolist() == (behind - alone).tolist()
    bits = {kind: points[0].bits_per_byte for kind, (_, points) in vectors.items()}
    assert bits["pmi"] == bits["conditional"] == pytest.approx(scored.bits_per_byte)
    assert bits["unconditional"] != bits["conditional"]


def test_a_text_set_of_the_responses_has_the_same_values_where_a_bos_comes_first(store, models):
    plain = TextSet("plain", RESPONSES)
    there = mm.score(models["bos"], plain, progress=False)
    scored = mm.score(models["bos"], PAIRS, unconditional=True, progress=False)
    alone = kept(scored.run_id)["unconditional_log_likelihood"]
    np.testing.assert_allclose(alone, there.log_likelihoods, rtol=0, atol=1e-5)


def test_the_same_score_is_found_by_whoever_asks_for_no_more(store, models, monkeypatch):
    folder = models["chatml"]
    first = mm.score(folder, PAIRS, progress=False)
    assert kept(first.run_id)["unconditional_log_likelihood"] == [None] * 4
    both = mm.score(folder, PAIRS, unconditional=True, progress=False)
    assert both.run_id != first.run_id
    # To the bit: responses alone go through the model in a pass of their own.
    assert both.log_likelihoods.tolist() == first.log_likelihoods.tolist()
    mlflow.MlflowClient().delete_run(first.run_id)
    assert mm.score(folder, PAIRS, progress=False).run_id == both.run_id
    assert mm.score(folder, PAIRS, unconditional=True, progress=False).run_id == both.run_id
    shown = []
    settings = ScoringSettings(unconditional=True)
    tokens = tokenize(folder, PAIRS, settings)
    model = AutoModelForCausalLM.from_pretrained(folder)
    score_model(model, tokens, settings, progress=lambda done, of: shown.append((done, of)))
    total = int(tokens.lengths.sum() + tokens.without_prompts.lengths.sum())
    assert shown[-1] == (total, total)
    assert shown == sorted(shown)


def test_progress_of_both_never_goes_back_and_ends_at_all_of_them(models):
    settings = ScoringSettings(device="cpu", unconditional=True)
    tokens = tokenize(models["bos"], PAIRS, settings)
    model = AutoModelForCausalLM.from_pretrained(models["bos"], dtype=torch.float16).eval()
    for parameter in model.get_decoder().layers[0].mlp.parameters():
        parameter.data *= 2000.0  # past what float16 holds, so that all is read once more
    shown = []
    scored = score_model(
        model, tokens, settings, precision="float16", progress=lambda *told: shown.append(told)
    )
    assert scored.provenance["retried"] == len(PAIRS)
    done = [told for told, _ in shown]
    assert done == sorted(done)
    assert {of for _, of in shown} == {done[-1]}


def test_layers_stay_behind_their_prompts(store, models):
    scored = mm.score(models["chatml"], PAIRS, layers=True, unconditional=True, progress=False)
    table = kept(scored.run_id)
    for layer, value in zip(table["layer"], table["unconditional_log_likelihood"], strict=True):
        assert (layer is None) == (value is not None)
    with pytest.raises(InputError, match="behind prompts only and have no pmi vectors"):
        mm.build_map(run_ids=[scored.run_id], layers=True, vector="pmi")


def test_what_is_cut_is_cut_alike(models):
    settings = ScoringSettings(unconditional=True, overlong="truncate", end_of_turn=True)
    one = TextSet("one", RESPONSES[1:2], prompts=PROMPTS[1:2])
    whole = tokenize(models["chatml"], one, settings)
    length = int(whole.lengths[0])
    cut = whole.fitted(length - 3, settings)
    alone = cut.without_prompts
    assert alone.ends[0][-1] == cut.bytes[0] == alone.bytes[0] < one.bytes[0]
    assert alone.scored.tolist() == cut.scored.tolist() == (whole.scored - 3).tolist()
    # Only the end of the turn does not fit: it is left out of both.
    end = whole.fitted(length - 1, settings)
    assert end.without_prompts.scored.tolist() == end.scored.tolist()
    assert end.without_prompts.bytes.tolist() == one.bytes.tolist()
    ends = whole.without_prompts.ends[0]
    other = replace(whole.without_prompts, ends=(np.where(ends == cut.bytes, ends + 1, ends),))
    with pytest.raises(InputError, match="Text 0 would be cut inside a token"):
        replace(whole, without_prompts=other).fitted(length - 3, settings)


def test_what_is_not_possible_is_said(store, models):
    plain = TextSet("plain", RESPONSES[:2])
    with pytest.raises(InputError, match="no responses to prompts, so that unconditional says"):
        mm.score(models["bos"], plain, unconditional=True, progress=False)
    with pytest.raises(InputError, match="bos=never leaves that out; leave out bos or uncond"):
        mm.score(models["chatml"], PAIRS, unconditional=True, bos="never", progress=False)
    before = mm.score(models["bos"], PAIRS, name="before", progress=False)
    other = mm.score(models["chatml"], PAIRS, name="other", progress=False)
    with pytest.raises(mm.TrackingError, match=r"'before'.*score it again with --uncond"):
        mm.compare(before.run_id, other.run_id, vector="pmi")
    with pytest.raises(InputError, match="None of the 2 runs can be read with pmi vectors"):
        mm.build_map(vector="pmi")
    with pytest.raises(InputError, match="The vector 'pmy' is unknown; choose one of cond"):
        mm.build_map(vector="pmy")
    with pytest.raises(InputError, match=r"'plain' are no responses to prompts.*no pmi vectors"):
        mm.gate(models["bos"], before.run_id, plain, max_kl=1, vector="pmi")
    texts = mm.score(models["bos"], plain, progress=False)
    with pytest.raises(InputError, match="scored on different text sets"):
        mm.build_map(run_ids=[before.run_id, texts.run_id])


# These random models are worse than chance, which says nothing of what serves them.
CHANCE = "mlflow_modelmap.scoring.engines.score_by_engine.check_not_chance"
AGAIN = "mlflow_modelmap.scoring.engines.score_by_engine._Pass.again"


def test_a_server_gives_both_and_goes_on_where_it_stopped(store, models):
    folder = models["chatml"]
    given = {"engine": "endpoint", "tokenizer": str(folder), "unconditional": True}
    with CompletionServer(folder) as server, unittest.mock.patch(CHANCE):
        stopped = unittest.mock.patch(AGAIN, side_effect=mm.ScoringError("stop"))
        with stopped, pytest.raises(mm.ScoringError, match="stop"):
            mm.score("tiny", PAIRS, url=server.url, progress=False, **given)
        scored = mm.score("tiny", PAIRS, url=server.url, progress=False, **given)
    params = mlflow.get_run(scored.run_id).data.params
    assert params["modelmap.resumed"] == "8"
    alone = kept(scored.run_id)["unconditional_log_likelihood"]
    np.testing.assert_allclose(alone, by_hand(folder, "<|endoftext|>"), rtol=0, atol=1e-3)
    here = mm.score(folder, PAIRS, progress=False)
    np.testing.assert_allclose(scored.log_likelihoods, here.log_likelihoods, rtol=0, atol=1e-3)
    assert scored.bits_per_byte == pytest.approx(here.bits_per_byte, abs=1e-4)


def test_llama_cpp_gives_both(store, models, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", llama_cpp_stand_in)
    write_gguf(tmp_path / "model.gguf", models["bos"], "F32", pre="gpt-2", bos=True)
    scored = mm.score(
        tmp_path / "model.gguf", PAIRS, engine="llama.cpp", unconditional=True, progress=False
    )
    alone = kept(scored.run_id)["unconditional_log_likelihood"]
    np.testing.assert_allclose(alone, by_hand(models["bos"], "<s>"), rtol=0, atol=1e-3)
