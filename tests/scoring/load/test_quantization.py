"""Quantised copies: really quantised, counted, and independent of their batch."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine import slices
from tests import tiny
from tests.scoring import architectures
from tests.scoring.reckoning import score

bnb = pytest.importorskip("bitsandbytes")
WIDE = {"hidden_size": 64, "intermediate_size": 128}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A GPT-NeoX wide enough for 4-bit products on CPU."""
    return architectures.make(tmp_path_factory.mktemp("wide"), "gpt_neox", **WIDE)


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ({"precision": "int8"}, 0.05, 2),
        ({"precision": "int8", "int8_threshold": 6.0}, 0.05, 2),
        ({"precision": "nf4"}, 0.5, 20),
        ({"precision": "nf4", "double_quantization": True}, 0.5, 20),
        ({"precision": "fp4"}, 0.5, 20),
    ],
    ids=str,
)
def test_a_quantised_copy_differs_a_little_and_not_with_its_batch(
    settings, least, most, wide, texts
):
    original = score(wide, texts).log_likelihoods
    copy = score(wide, texts, **settings)
    assert copy.provenance["quantised_layers"] == 8  # four in each of two layers, not the head
    assert copy.provenance["bitsandbytes"]
    assert copy.provenance["precision"] == settings["precision"]
    assert least < np.std(copy.log_likelihoods - original) < most
    for budget in (1, 70):
        again = score(wide, texts, batch_tokens=budget, **settings)
        np.testing.assert_allclose(again.log_likelihoods, copy.log_likelihoods, atol=1e-3, rtol=0)
    policy = "one text" if settings.get("int8_threshold") else "length-sorted tokens"
    assert copy.provenance["batch_policy"] == policy


def test_double_quantization_changes_the_values(wide, texts):
    once = score(wide, texts, precision="nf4")
    twice = score(wide, texts, precision="nf4", double_quantization=True)
    assert np.abs(once.log_likelihoods - twice.log_likelihoods).max() > 1e-3
    assert twice.provenance["double_quantization"] is True


def test_parameters_are_counted_as_before_quantisation(wide, texts):
    counts = {
        precision: score(wide, texts, precision=precision).provenance["parameters"]
        for precision in ("float32", "int8", "nf4")
    }
    assert len(set(counts.values())) == 1


def test_the_layers_of_a_quantised_copy(wide, texts):
    copy = score(wide, texts, precision="int8")
    lens = score(wide, texts, precision="int8", layers=True)
    np.testing.assert_allclose(lens.log_likelihoods, copy.log_likelihoods, atol=1e-4, rtol=0)


@pytest.mark.skipif(tiny.TRANSFORMERS < 5, reason="it quantises layers of Falcon's own class too")
def test_nothing_quantised_is_refused(tmp_path, texts):
    path = architectures.make(tmp_path, "falcon", hidden_size=64)
    with pytest.raises(ScoringError, match="quantised no layer of this FalconForCausalLM"):
        score(path, texts, precision="int8")


def test_shapes_that_do_not_fit_say_which_multiples_are_needed(tiny_model, texts):
    expected = r"multiple of 32 and whose input is a multiple of 64; .* has 96 and 32"
    with pytest.raises(InputError, match=expected):
        score(tiny_model, texts, precision="nf4")


def test_bitsandbytes_says_nothing_a_product(wide, texts, caplog):
    score(wide, texts, precision="int8")
    assert not caplog.records


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_weights_are_made_from_their_codes_once_a_batch(precision, wide, texts, monkeypatch):
    """Slices of a batch suit the cache, but each would make all weights anew."""
    kind = bnb.nn.Linear8bitLt if precision == "int8" else bnb.nn.Linear4bit
    forward, passes, counts = kind.forward, [], []

    def counted(self, *args, **how):
        passes.append(1)
        return forward(self, *args, **how)

    monkeypatch.setattr(kind, "forward", counted)
    for most in (20, 10**9):
        monkeypatch.setattr(slices, "BODY_TOKENS", most)
        passes.clear()
        score(wide, texts, precision=precision, batch_tokens=200)
        counts.append(len(passes))
    assert counts[0] == counts[1]
