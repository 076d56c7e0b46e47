"""Texts longer than the model takes, in windows: the sum of an independent loop over them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests.scoring.reckoning import score

LIMIT = 32


@pytest.fixture(scope="module")
def long_texts():
    """Some fit into 32 tokens, some do not."""
    words = ["The", "fox", "naïve", "京都", "import", "as np", "lazy", "dog's", "3.14", "of it"]
    draw = np.random.default_rng(0)
    sizes = (3, 14, 8, 25, 6, 40, 9, 13)
    return TextSet("long", tuple(" ".join(draw.choice(words, n)) + f" {n}" for n in sizes))


def by_hand(path, texts, stride, bos, limit=LIMIT):
    """Sums over windows, in float64, each by itself: the book's sliding window."""
    model = AutoModelForCausalLM.from_pretrained(path).double().eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    start = [tokenizer.bos_token_id] if bos else []
    sums, counts = [], []
    for text in texts.texts:
        body = tokenizer(text, add_special_tokens=False)["input_ids"]
        room = limit - len(start)
        done, begin, total, count = (0 if bos else 1), 0, 0.0, 0
        while done < len(body):
            row = start + body[begin : begin + room]
            with torch.no_grad():
                logits = model(torch.tensor([row]), use_cache=False).logits[0].log_softmax(-1)
            for place in range(done - begin + len(start), len(row)):
                total += float(logits[place - 1, row[place]])
                count += 1
            done = begin + len(row) - len(start)
            begin += stride
        sums.append(total)
        counts.append(count)
    return np.array(sums), np.array(counts)


CASES = [
    ("gpt_neox", False, "auto", False),
    ("llama", True, "auto", True),
    ("llama", True, "never", False),
    ("gpt2", False, "always", True),
]


@pytest.mark.parametrize("stride", [1, LIMIT // 2, LIMIT - 1, None])
@pytest.mark.parametrize(("name", "own", "bos", "applied"), CASES)
def test_a_text_has_the_sum_of_its_windows(
    name, own, bos, applied, stride, tiny_models, long_texts
):
    names = {"n_positions" if name == "gpt2" else "max_position_embeddings": LIMIT}
    path = tiny_models(name, bos=own, **names)
    result = score(path, long_texts, bos=bos, overlong="window", stride=stride, batch_tokens=100)
    sums, counts = by_hand(path, long_texts, stride or LIMIT // 2, applied)
    np.testing.assert_allclose(result.log_likelihoods, sums, atol=1e-3, rtol=0)
    np.testing.assert_array_equal(result.scored_tokens, counts)
    np.testing.assert_array_equal(result.bytes, long_texts.bytes)
    facts = result.provenance
    assert (facts["windowed"], facts["truncated"]) == (int((counts > LIMIT - 1).sum()), 0)
    assert (facts["window_tokens"], facts["stride"]) == (LIMIT, stride or LIMIT // 2)


def test_texts_that_fit_are_scored_as_before_to_the_bit(tiny_model, texts):
    plain = score(tiny_model, texts)
    windows = score(tiny_model, texts, overlong="window")
    np.testing.assert_array_equal(plain.log_likelihoods, windows.log_likelihoods)
    assert windows.provenance["windowed"] == 0


def test_windows_may_be_shorter_than_the_model_takes(tiny_model, tiny_models, long_texts):
    sums, _ = by_hand(tiny_model, long_texts, 7, False, limit=20)
    result = score(tiny_model, long_texts, overlong="window", window_tokens=20, stride=7)
    np.testing.assert_allclose(result.log_likelihoods, sums, atol=1e-3, rtol=0)
    endless = tiny_models("bloom", n_layer=2, n_head=4)
    whole = score(endless, long_texts, overlong="window")
    assert whole.provenance["windowed"] == 0
    np.testing.assert_array_equal(whole.log_likelihoods, score(endless, long_texts).log_likelihoods)
    cut = score(endless, long_texts, overlong="window", window_tokens=20)
    sums, _ = by_hand(endless, long_texts, 10, False, limit=20)
    np.testing.assert_allclose(cut.log_likelihoods, sums, atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="window_tokens is 300, but the model takes 256"):
        score(tiny_model, long_texts, overlong="window", window_tokens=300)


def test_layers_are_sums_of_windows_too(tiny_models, long_texts):
    path = tiny_models("gpt_neox", max_position_embeddings=LIMIT)
    plain = score(path, long_texts, overlong="window")
    layers = score(path, long_texts, overlong="window", layers=True)
    assert layers.layer_log_likelihoods.shape == (3, len(long_texts))
    np.testing.assert_allclose(layers.log_likelihoods, plain.log_likelihoods, atol=1e-4, rtol=0)
    tokens = tokenize(path, long_texts, ScoringSettings()).within(LIMIT, "window")
    pieces = tokens.pieces
    assert len(pieces) > len(long_texts)
    # Each window by itself, as a text of its own, gives the same sums at every layer.
    model = AutoModelForCausalLM.from_pretrained(path)
    sums = np.zeros_like(layers.layer_log_likelihoods)
    for number, text in enumerate(pieces.texts):
        ids = pieces[number]
        alone = replace(
            tokens, ids=(ids,), bytes=np.array([1]), first=int(pieces.firsts[number]), window=None
        )
        found = score_model(model, alone, ScoringSettings(layers=True, device="cpu"))
        sums[:, text] += found.layer_log_likelihoods[:, 0]
    np.testing.assert_allclose(sums, layers.layer_log_likelihoods, atol=1e-4, rtol=0)


def test_a_second_pass_scores_whole_texts_again(tiny_models, long_texts):
    path = tiny_models("gpt_neox", max_position_embeddings=LIMIT)
    result = score(path, long_texts, overlong="window", noise=5, batch_tokens=70)
    again = result.second
    assert len(again.texts) == 5
    assert 5 in again.texts  # the longest, of many windows
    np.testing.assert_allclose(
        again.log_likelihoods, result.log_likelihoods[again.texts], atol=1e-3, rtol=0
    )


def test_progress_counts_the_tokens_that_go_through(tiny_models, long_texts):
    path = tiny_models("gpt_neox", max_position_embeddings=LIMIT)
    model = AutoModelForCausalLM.from_pretrained(path)
    tokens = tokenize(path, long_texts, ScoringSettings()).within(LIMIT, "window", stride=8)
    seen = []
    score_model(
        model,
        tokens,
        ScoringSettings(overlong="window", stride=8),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] == tokens.pieces.lengths.sum() > tokens.lengths.sum()


def test_a_window_that_overflows_is_a_text_that_is_scored_again(tiny_models, tmp_path, long_texts):
    path = tiny_models("gpt_neox", max_position_embeddings=LIMIT)
    model = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    token = tokenizer(long_texts.texts[5])["input_ids"][-2]
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[token, :16] = 6e4
        for layer in model.gpt_neox.layers:
            layer.mlp.dense_4h_to_h.bias[:16] = 8e3
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    result = score(tmp_path, long_texts, precision="float16", overlong="window")
    assert result.provenance["retried"] >= 1
    full = score(tmp_path, long_texts, overlong="window").log_likelihoods
    np.testing.assert_allclose(result.log_likelihoods, full, atol=1, rtol=0)


def test_a_document_of_many_tokens_never_makes_a_large_batch(tiny_models, monkeypatch):
    path = tiny_models("gpt_neox", max_position_embeddings=LIMIT)
    document = TextSet("book", ("京都 and a fox. " * 14_500, "short one"))
    own, shapes = Tail.head_input, []

    def watched(self, ids, cache=None):
        shapes.append(tuple(ids.shape))
        return own(self, ids, cache)

    monkeypatch.setattr(Tail, "head_input", watched)
    result = score(path, document, overlong="window", stride=LIMIT - 1, batch_tokens=4096)
    assert result.scored_tokens[0] > 100_000
    assert max(width for _, width in shapes) <= LIMIT
    assert max(rows * width for rows, width in shapes) <= 4096
    assert result.bytes[0] == document.bytes[0]


def test_memory_that_runs_out_names_the_text_and_not_its_window(tiny_models, texts, monkeypatch):
    path = tiny_models("gpt_neox", max_position_embeddings=LIMIT)
    some = TextSet("some", ("a fox", "word " * 100))
    own = Tail.head_input

    def short_of_memory(self, ids, cache=None):
        if ids.shape[1] > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(self, ids, cache)

    monkeypatch.setattr(Tail, "head_input", short_of_memory)
    with pytest.raises(ScoringError, match="Memory ran out on text 1 alone"):
        score(path, some, overlong="window")


def test_the_settings_are_one_sentence_and_at_default_in_no_identity():
    for wrong in ({"stride": 4}, {"window_tokens": 9, "overlong": "truncate"}):
        with pytest.raises(InputError, match="goes with overlong=window, not"):
            ScoringSettings(**wrong)
    with pytest.raises(InputError, match="stride is 9; it must be less than window_tokens"):
        ScoringSettings(overlong="window", window_tokens=9, stride=9)
    with pytest.raises(InputError, match="stride is 0; it must be 1 or more"):
        ScoringSettings(overlong="window", stride=0)
    assert json.loads(ScoringSettings().model_dump_json(exclude_defaults=True)) == {}
    asked = ScoringSettings(overlong="window", stride=4).model_dump(exclude_defaults=True)
    assert asked == {"overlong": "window", "stride": 4}
