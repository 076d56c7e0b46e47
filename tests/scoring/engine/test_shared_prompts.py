"""Prompts that several responses share are read once, and no value knows of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.engine import shared_prompts as engine
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.scoring.engine.shared_prompts import shared_prompts
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny
from tests.scoring.architectures import ARCHITECTURES

# transformers 5.24 calls it cache, and will take no other name.
pytestmark = pytest.mark.filterwarnings("error:.*past_key_values")
SETTINGS = ScoringSettings(device="cpu", batch_tokens=300)
WORDS = [
    "quick",
    "fox",
    "京都",
    "over",
    "the",
    "lazy",
    "dog;",
    "print(add)",
    "naïve",
    "probability",
]
NOT_SO = "with each response: no cache of the model gives the same values"
SLIDING = {
    "mistral": {"sliding_window": 8, "layer_types": ["sliding_attention"] * 2},
    "gemma3_text": {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
}


def prompt_set(prompts=10, responses=6, before="") -> TextSet:
    drawn = np.random.default_rng(0)
    asked, answered = [], []
    for number in range(prompts):
        prompt = before + " ".join(drawn.choice(WORDS, 12 + 3 * number))
        for _ in range(responses):
            asked.append(prompt)
            answered.append(" ".join(drawn.choice(WORDS, drawn.integers(2, 9))))
    return TextSet("asked", tuple(answered), prompts=tuple(asked))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    tiny.make_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def tokens(folder):
    return tokenize(folder, prompt_set(), SETTINGS)


def random_model(name, **changes):
    kind, config = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(tiny.make_config(kind, **{**config, **changes}))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(20.0 if parameter.dim() == 2 else 1.0)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def llama():
    return random_model("llama")


def whole_rows(model, tokens) -> np.ndarray:
    """Log-likelihoods of responses one by one, by the model's own full logits in float64."""
    model = model.double()
    sums = []
    with torch.no_grad():
        for row, first in zip(tokens.ids, tokens.starts, strict=True):
            ids = torch.from_numpy(row)[None]
            logs = model(ids, use_cache=False).logits.log_softmax(-1)
            sums.append(float(logs[0, first - 1 : -1].gather(1, ids[0, first:, None]).sum()))
    model.float()
    return np.array(sums)


@pytest.mark.parametrize(
    "name",
    [
        *("llama", "gpt2", "falcon with alibi", "gpt_neo", "mistral", "gemma3_text"),
        *({"mpt"} - tiny.NOT_IN_FLOAT64),
    ],
)
def test_values_are_those_of_whole_rows_wherever_positions_come_from(name, tokens):
    model = random_model(name, **SLIDING.get(name, {}))
    made = score_model(model, tokens, SETTINGS)
    assert made.provenance["prompts_read"].startswith("once: ")
    np.testing.assert_allclose(made.log_likelihoods, whole_rows(model, tokens), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["mamba", "rwkv"])
def test_a_state_that_is_no_cache_leaves_rows_whole(name, tokens):
    model = random_model(name)
    made = score_model(model, tokens, SETTINGS)
    assert made.provenance["prompts_read"] == NOT_SO
    assert np.isfinite(made.log_likelihoods).all()


def test_each_prompt_goes_through_the_model_once(llama, tokens, monkeypatch):
    seen, own = [], Tail._call

    def watched(self, ids, cache=None):
        seen.append(ids.shape)
        return own(self, ids, cache)

    scorer = Scorer(llama, tokens, SETTINGS, "float32", None)
    monkeypatch.setattr(Tail, "_call", watched)
    scorer.score(range(len(tokens)))
    read = sum(rows * width for rows, width in seen)
    assert max(rows * width for rows, width in seen) <= SETTINGS.batch_tokens
    total = int(tokens.lengths.sum())
    assert scorer.shared.saved == sum(5 * (first - 1) for first in tokens.starts[::6])
    assert total - scorer.shared.saved <= read < 1.4 * (total - scorer.shared.saved)


def test_layers_too(llama, tokens):
    settings = ScoringSettings(device="cpu", batch_tokens=300, layers=True)
    made = score_model(llama, tokens, settings)
    with torch.no_grad():
        whole = Scorer(llama, tokens, settings, "float32", None, share=False)
        whole.score(range(len(tokens)))
    assert made.provenance["prompts_read"].startswith("once: ")
    assert made.layer_log_likelihoods.shape == (3, len(tokens))
    np.testing.assert_allclose(made.layer_log_likelihoods, whole.values, atol=1e-4, rtol=0)


def test_exact_comparisons_read_them_once_too(llama, tokens, tmp_path, monkeypatch):
    other = random_model("llama", rope_parameters={"rope_type": "default", "rope_theta": 100.0})
    found = []
    for number, pays in enumerate((engine.PAYS, np.inf)):
        monkeypatch.setattr(engine, "PAYS", pays)
        folder = tmp_path / str(number)
        folder.mkdir()
        states = keep_head_states(llama, tokens, SETTINGS, folder, precision="float32")
        found.append(compare_with_states(states, other, tokens, SETTINGS, precision="float32"))
    once, whole = found
    assert whole.forward.max() > 0.1
    for name in ("forward", "reverse", "first", "second"):
        np.testing.assert_allclose(getattr(once, name), getattr(whole, name), atol=1e-4, rtol=0)


@pytest.mark.skipif(
    tiny.TRANSFORMERS < 5, reason="its attention rounds shorter rows otherwise, so none is shared"
)
def test_half_precision_stays_within_its_own_rounding(tokens):
    model = random_model("llama").to(torch.bfloat16)
    made = score_model(model, tokens, SETTINGS)
    assert made.provenance["prompts_read"].startswith("once: ")
    exact = whole_rows(model, tokens)
    with torch.no_grad():
        whole = Scorer(model.to(torch.bfloat16), tokens, SETTINGS, "bfloat16", None, share=False)
        whole.score(range(len(tokens)))
    errors = [np.sqrt(np.mean((v - exact) ** 2)) for v in (made.log_likelihoods, whole.values[-1])]
    assert 0 < errors[0] < 1.5 * errors[1]


def test_what_all_prompts_begin_with_is_read_once(llama, folder):
    texts = prompt_set(prompts=40, responses=1, before="quick fox over the lazy dog; " * 14)
    tokens = tokenize(folder, texts, SETTINGS)
    made = score_model(llama, tokens, SETTINGS)
    common = 0
    while len({int(row[common]) for row in tokens.ids}) == 1:
        common += 1
    assert made.provenance["prompts_read"] == f"once: {39 * common} tokens saved"
    np.testing.assert_allclose(made.log_likelihoods, whole_rows(llama, tokens), atol=1e-4, rtol=0)


def test_a_cache_that_gives_other_values_is_found_and_not_used(tokens, monkeypatch):
    """Positions that begin anew behind a prompt: no error, and another number."""
    model = random_model("llama")
    own = model.model.forward

    def forward(input_ids, **given):
        if any(given.get(name) is not None for name in ("past_key_values", "cache")):
            given["position_ids"] = torch.arange(input_ids.shape[1])[None]
        return own(input_ids=input_ids, **given)

    monkeypatch.setattr(model.model, "forward", forward)
    made = score_model(model, tokens, SETTINGS)
    assert made.provenance["prompts_read"] == NOT_SO
    np.testing.assert_allclose(made.log_likelihoods, whole_rows(model, tokens), atol=1e-4, rtol=0)


def test_memory_that_runs_out_behind_a_prompt_ends_in_whole_rows(llama, tokens, monkeypatch):
    scorer = Scorer(llama, tokens, SETTINGS, "float32", None)
    own, tried = Tail.head_input, []

    def short_of_memory(self, ids, cache=None):
        tried.append((ids.shape[0], cache is not None))
        if cache is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(self, ids)

    monkeypatch.setattr(Tail, "head_input", short_of_memory)
    with torch.no_grad():
        scorer.score(range(len(tokens)))
    assert (1, True) in tried
    assert scorer.prompts == "with each response: memory ran out"
    np.testing.assert_allclose(scorer.values[-1], whole_rows(llama, tokens), atol=1e-4, rtol=0)


def test_little_to_save_is_left_alone(folder, llama):
    once = tokenize(folder, prompt_set(prompts=20, responses=1), SETTINGS)
    assert shared_prompts(once.pieces) is None
    assert score_model(llama, once, SETTINGS).provenance["prompts_read"] == "with each response"
    texts = tokenize(folder, TextSet("plain", prompt_set().prompts[::6]), SETTINGS)
    assert shared_prompts(texts.pieces) is None
    assert "prompts_read" not in score_model(llama, texts, SETTINGS).provenance


def test_batches_hold_every_response_once_and_their_prompts_count(tokens):
    shared = shared_prompts(tokens.pieces)
    batches = list(shared.batches(tokens.pieces, range(len(tokens)), 300))
    assert sorted(np.concatenate([batch.pieces for batch in batches])) == list(range(len(tokens)))
    for batch in batches:
        assert batch.ids.size <= max(300 - batch.prompts.size, 150) or len(batch.pieces) == 1
        looked_back = len(batch.pieces) * (batch.prompts.shape[1] + batch.ids.shape[1])
        assert looked_back <= engine.ATTENDED * 300 or len(batch.pieces) == 1
        for row, piece in enumerate(batch.pieces):
            whole = np.concatenate([batch.prompts[batch.behind[row]], batch.ids[row]])
            np.testing.assert_array_equal(whole[: len(tokens.ids[piece])], tokens.ids[piece])
