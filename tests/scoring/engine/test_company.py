"""Company: a text has the value that it has alone, whoever shares its batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModelForCausalLM, LlamaForCausalLM, Phi3ForCausalLM

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.engine.company import ALONE, ANY, Company, by_positions, proved
from mlflow_modelmap.scoring.engine.live import score_live
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.exact.compare_with_states import compare_with_states
from mlflow_modelmap.scoring.exact.head_states import keep_head_states
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny
from tests.scoring.reckoning import plain

EDGE = 24
SETTINGS = ScoringSettings(device="cpu", batch_tokens=400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    tiny.make_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def tokens(folder):
    """Texts of 6 to 90 tokens, on both sides of the edge and on it."""
    words = ("quick fox 京都 over the lazy dog; print(add) naïve probability " * 4).split()
    written = [f"{k} " + " ".join(words[: 2 * k]) for k in range(1, 17)]
    made = tokenize(folder, TextSet("mixed", tuple(written)), SETTINGS)
    lengths = made.lengths
    assert lengths.min() < EDGE - 4 < EDGE + 20 < lengths.max()
    return made


def random_model(kind, name, **overrides):
    config = tiny.make_config(name, **overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(8.0 if parameter.dim() == 2 else 1.0)
    return model.eval()


def longrope():
    return random_model(
        Phi3ForCausalLM,
        "phi3",
        num_key_value_heads=2,
        pad_token_id=0,
        original_max_position_embeddings=EDGE,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "short_factor": [1.0] * 4,
            "long_factor": [1.0, 3.0, 9.0, 20.0],
            "original_max_position_embeddings": EDGE,
        },
    )


def dynamic():
    return random_model(
        LlamaForCausalLM,
        "llama",
        num_key_value_heads=2,
        max_position_embeddings=EDGE,
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0},
    )


class Crowded(nn.Module):
    """Experts that have room for so many tokens of a batch; the others get nothing."""

    def __init__(self, expert: nn.Module, room: int) -> None:
        super().__init__()
        self.expert, self.room = expert, room

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        flat = self.expert(hidden).reshape(-1, hidden.shape[-1]).clone()
        flat[self.room :] = 0
        return flat.reshape(hidden.shape)


class Drawing(nn.Module):
    """A router that draws."""

    def __init__(self, expert: nn.Module) -> None:
        super().__init__()
        self.expert = expert

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.expert(hidden) * torch.rand(hidden.shape[:-1]).unsqueeze(-1)


def crowded(room=40):
    model = random_model(LlamaForCausalLM, "llama", num_key_value_heads=2)
    for layer in model.model.layers:
        layer.mlp = Crowded(layer.mlp, room)
    return model


KINDS = {
    "longrope": (longrope, f"length-sorted tokens, apart at {EDGE}"),
    "dynamic": (dynamic, f"length-sorted tokens, one text above {EDGE}"),
    "experts": (crowded, "one text"),
}


@pytest.fixture(scope="module")
def alone(tokens):
    """Of each kind of model, each text by itself, by one that has seen no other; in float64."""

    def of(make):
        model = make().double()
        return np.concatenate(
            [plain(copy.deepcopy(model), [ids], tokens.first) for ids in tokens.ids]
        )

    return {name: of(make) for name, (make, _) in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("budget", [60, 5_000])
def test_each_value_is_that_of_the_text_alone(name, budget, tokens, alone):
    make, policy = KINDS[name]
    model, settings = make(), ScoringSettings(device="cpu", batch_tokens=budget)
    result, right = score_model(model, tokens, settings), alone[name]
    np.testing.assert_allclose(result.log_likelihoods, right, atol=1e-3, rtol=0)
    assert result.provenance["batch_policy"] == policy
    # What the test is about: in one batch the numbers are others.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlflow_modelmap.scoring.engine.scorer.proved", lambda *_: ANY)
        careless = score_model(make(), tokens, ScoringSettings(device="cpu", batch_tokens=5_000))
    assert np.abs(careless.log_likelihoods - right).max() > 0.1


def test_a_model_that_went_over_a_long_text_reads_the_next_as_if_it_had_not(tokens, alone):
    model = dynamic()
    with torch.no_grad():
        model(torch.zeros(1, 150, dtype=torch.long))
    result = score_live(model, tokens, SETTINGS)
    np.testing.assert_allclose(result.log_likelihoods, alone["dynamic"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("layers", [False, True])
def test_layers_and_a_second_pass_keep_to_it(layers, tokens, alone):
    model = longrope()
    settings = ScoringSettings(device="cpu", batch_tokens=400, layers=layers)
    result = score_model(model, tokens, settings, noise=8)
    right = alone["longrope"]
    np.testing.assert_allclose(result.log_likelihoods, right, atol=1e-3, rtol=0)
    again = result.second
    assert len(again.texts) == 8
    np.testing.assert_allclose(again.log_likelihoods, right[again.texts], atol=1e-3, rtol=0)


def test_what_goes_alone_has_no_second_pass(tokens):
    second = score_model(dynamic(), tokens, SETTINGS, noise=20).second
    assert tokens.lengths[second.texts].max() <= EDGE
    assert score_model(crowded(), tokens, SETTINGS, noise=5).second is None


@pytest.mark.parametrize("name", KINDS)
def test_exact_comparisons_keep_to_it(name, tokens, tmp_path, alone):
    make, _ = KINDS[name]
    other = random_model(LlamaForCausalLM, "llama", num_key_value_heads=2)
    states = keep_head_states(make(), tokens, SETTINGS, tmp_path, precision="float32")
    found = compare_with_states(states, other, tokens, SETTINGS, precision="float32")
    np.testing.assert_allclose(found.by_text(found.first), alone[name], atol=1e-3)
    states = keep_head_states(other, tokens, SETTINGS, tmp_path, precision="float32")
    found = compare_with_states(states, make(), tokens, SETTINGS, precision="float32")
    np.testing.assert_allclose(found.by_text(found.second), alone[name], atol=1e-3)


def test_code_of_its_own_is_found_out_and_kept_apart_by_what_its_configuration_names(tokens, alone):
    model = longrope()
    rotary = model.model.rotary_emb
    name = "rope_parameters" if hasattr(model.config, "rope_parameters") else "rope_scaling"
    setattr(model.config, name, {**getattr(model.config, name), "rope_type": "unheard of"})
    assert by_positions(model.config) == (ANY, False)
    assert rotary.rope_type == "longrope"
    result = score_model(model, tokens, SETTINGS)
    assert result.provenance["batch_policy"] == KINDS["longrope"][1]
    np.testing.assert_allclose(result.log_likelihoods, alone["longrope"], atol=1e-3, rtol=0)


def test_a_model_that_draws_random_numbers_is_refused(tokens):
    model = random_model(LlamaForCausalLM, "llama", num_key_value_heads=2)
    for layer in model.model.layers:
        layer.mlp = Drawing(layer.mlp)
    with pytest.raises(InputError, match="gives other numbers each time"):
        score_model(model, tokens, SETTINGS)


def test_an_ordinary_model_is_scored_as_ever(tiny_model, texts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    result = score_model(model, tokenize(tiny_model, texts, SETTINGS), SETTINGS)
    assert result.provenance["batch_policy"] == "length-sorted tokens"


@pytest.mark.parametrize("budget", [2048, 16_384])
def test_the_proof_of_a_thousand_texts_is_less_than_a_hundredth_of_them(tiny_model, budget):
    config = AutoModelForCausalLM.from_pretrained(tiny_model).config
    lengths = np.random.default_rng(0).integers(200, 300, 1000)
    read = []

    def alike(which):
        read.append(len(which) * lengths[which].max())
        return [np.zeros(lengths[i]) for i in which]

    assert proved(ANY, config, lengths, budget, alike, "float32") is ANY
    assert 0 < sum(read) < 0.01 * lengths.sum()


def test_half_precision_is_no_company(tiny_model, texts):
    model = AutoModelForCausalLM.from_pretrained(tiny_model).to(torch.bfloat16)
    result = score_model(model, tokenize(tiny_model, texts, SETTINGS), SETTINGS)
    assert result.provenance["batch_policy"] == "length-sorted tokens"


@given(
    st.lists(st.integers(2, 300), min_size=1, max_size=60),
    st.integers(1, 3000),
    st.sets(st.integers(1, 300), max_size=3),
    st.none() | st.integers(0, 300),
)
def test_a_plan_has_every_piece_once_and_none_in_company_it_must_not_keep(
    lengths, budget, edges, above
):
    sizes = np.array(lengths)
    company = Company(tuple(sorted(edges)), above)
    batches = list(company.plan(sizes, range(len(sizes)), budget))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(sizes)))
    for batch in batches:
        found = sizes[batch]
        if len(batch) > 1:
            assert len(batch) * found.max() <= budget
            assert above is None or found.max() <= above
            assert not any(found.min() <= edge < found.max() for edge in edges)
    assert all(len(batch) == 1 for batch in ALONE.plan(sizes, range(len(sizes)), budget))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (longrope, (Company((EDGE,)), False)),
        (dynamic, (Company((), EDGE), True)),
        (lambda: random_model(LlamaForCausalLM, "llama", num_key_value_heads=2), (ANY, False)),
    ],
)
def test_what_a_configuration_says_of_its_positions(make, found):
    assert by_positions(make().config) == found
