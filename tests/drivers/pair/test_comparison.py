"""Two models compared: one type, whether from two vectors or from a KL that is measured already."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore
from mlflow_modelmap.drivers.pair.with_reference import check_same_parts, compare_with_reference
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.numerics.scale.in_words import in_words


@pytest.fixture
def values(texts: TextSet) -> np.ndarray:
    return np.random.default_rng(0).normal(-50, 5, len(texts))


def reference(texts: TextSet, values: np.ndarray, weights: np.ndarray | None = None):
    bits, _ = bits_and_error(values, texts.bytes, weights)
    return ReferenceScore("made up", "0" * 32, "0", values, texts.bytes, bits, weights=weights)


def test_a_comparison_is_kl_and_bits_of_both_and_their_paired_difference(texts, values):
    other = values + np.random.default_rng(1).normal(-1, 2, len(values))
    found = compare_with_reference(reference(texts, values), other, texts.bytes)
    kl, se = kl_between(other, values, texts.mean_bytes, text_bytes=texts.bytes)
    assert (found.kl, found.se) == pytest.approx((kl, se))
    assert (found.low, found.high) == tuple(map(float, confidence_interval(found.kl, found.se)))
    assert found.words == in_words(found.kl, found.se)
    assert (found.bits_per_byte, found.bits_per_byte_se) == bits_and_error(other, texts.bytes)
    assert found.other_bits_per_byte == bits_and_error(values, texts.bytes)[0]
    bits = -(other - values).sum() / texts.bytes.sum() / np.log(2)
    assert found.bits_per_byte_difference == pytest.approx(bits)
    assert found.bits_per_byte_difference == pytest.approx(
        found.bits_per_byte - found.other_bits_per_byte
    )
    assert 0 < found.bits_per_byte_difference_se < found.bits_per_byte_se


def test_a_model_does_not_differ_from_itself(texts, values):
    same = compare_with_reference(reference(texts, values), values, texts.bytes)
    assert (same.kl, same.se, same.low, same.high) == (0, 0, 0, 0)
    assert (same.bits_per_byte_difference, same.bits_per_byte_difference_se) == (0, 0)
    assert same.words.startswith("no difference at all")


def test_of_a_kl_alone_there_are_no_bits(texts, values):
    other = values + np.arange(len(values))
    whole = compare_with_reference(reference(texts, values), other, texts.bytes, level=0.9)
    alone = Comparison.of_kl(whole.kl, whole.se, level=0.9)
    for name in ("kl", "se", "low", "high", "words"):
        assert getattr(alone, name) == getattr(whole, name)
    assert math.isnan(alone.bits_per_byte)
    assert math.isnan(alone.bits_per_byte_difference)


def test_weights_of_the_texts_count(texts, values):
    weights = np.random.default_rng(2).uniform(0.2, 3.0, len(texts))
    other = values + np.arange(len(values))
    found = compare_with_reference(reference(texts, values, weights), other, texts.bytes)
    mean_bytes = np.average(texts.bytes, weights=weights)
    kl, se = kl_between(other, values, mean_bytes, weights=weights, text_bytes=texts.bytes)
    assert (found.kl, found.se) == pytest.approx((kl, se))
    assert found.bits_per_byte == bits_and_error(other, texts.bytes, weights)[0]


def test_documents_of_the_texts_count(texts, values):
    codes = np.arange(len(texts)) // 2
    other = values + np.repeat(np.random.default_rng(3).normal(0, 3, codes.max() + 1), 2)
    of = dataclasses.replace(reference(texts, values), documents=codes)
    found, alone = (
        compare_with_reference(one, other, texts.bytes) for one in (of, reference(texts, values))
    )
    assert (found.documents, alone.documents) == (codes.max() + 1, len(texts))
    assert found.kl == alone.kl
    assert found.se > 1.2 * alone.se
    one = dataclasses.replace(of, documents=np.zeros(len(texts), dtype=int))
    unknown = compare_with_reference(one, other, texts.bytes)
    assert math.isnan(unknown.se)
    assert math.isnan(unknown.bits_per_byte_se)
    assert unknown.words


def test_few_documents_have_no_interval_and_texts_are_counted_as_texts():
    told = Comparison.of_kl(0.1, 0.02, texts=256, documents=64, half_in=10)
    assert told.sharpness.endswith("half of it lies in 10 of 256 texts")
    assert told.documents == 64
    few = Comparison.of_kl(0.1, 0.02, texts=256, documents=9, half_in=10)
    assert math.isnan(few.se)
    assert math.isnan(few.low)
    assert few.sharpness.endswith("half of it lies in 10 of 256 texts")


def test_it_is_logged_under_the_names_that_runs_have(texts, values):
    found = compare_with_reference(reference(texts, values), values + 1.0, texts.bytes).logged()
    assert set(found) == {
        *("kl", "kl_se", "kl_low", "kl_high", "words", "bits_per_byte"),
        *("reference_bits_per_byte", "bits_per_byte_difference", "bits_per_byte_difference_se"),
        *("noise_floor", "within_noise"),
        *("bits_per_byte_difference_low", "bits_per_byte_difference_high"),
        *("half_in", "sharpness"),
    }


def test_other_parts_of_the_texts_are_refused(texts, values):
    cut = texts.bytes.copy()
    cut[5] -= 3
    with pytest.raises(InputError, match=r"'candidate' was scored on .* of text 5.*truncated it"):
        check_same_parts(reference(texts, values), cut, "candidate")
    with pytest.raises(InputError, match=r"on 23 texts and the reference 'made up' on 24"):
        check_same_parts(reference(texts, values), cut[1:], "candidate")


def test_a_shift_that_is_equal_on_all_texts_is_in_the_bits_per_byte(texts, values):
    """A model that gives a part of every token's probability away, on texts of one length."""
    size = np.full(len(values), 400)
    shift = 100 * math.log(0.7)
    leaks = Comparison.of_vectors(values + shift, values, size)
    assert leaks.kl < 1e-25
    assert leaks.bits_per_byte_difference == pytest.approx(-shift / 400 / math.log(2))
    assert leaks.shifted
    noise = np.random.default_rng(3).normal(0, 3, len(values))
    assert not Comparison.of_vectors(values + noise - noise.mean(), values, size).shifted


def test_from_fewer_than_ten_texts_there_is_neither_an_error_nor_an_interval(texts, values):
    few, size = values[:9], texts.bytes[:9]
    found = Comparison.of_vectors(few + np.arange(9.0), few, size)
    assert found.kl > 0
    for name in ("se", "low", "high", "bits_per_byte_difference_low"):
        assert math.isnan(getattr(found, name))
    assert not found.shifted
    assert found.sharpness.startswith("of unknown precision; half of it lies in")
    assert math.isfinite(Comparison.of_vectors(values[:10] * 1.1, values[:10], texts.bytes[:10]).se)
    same = Comparison.of_vectors(few, few, size)
    assert (same.se, same.low, same.high) == (0, 0, 0)


def test_how_few_texts_carry_it_is_counted(texts, values):
    one = values.copy()
    one[4] -= 100.0
    found = Comparison.of_vectors(one, values, texts.bytes)
    assert found.half_in == 1
    assert found.sharpness.endswith(f"lies in 1 text of {len(values)}")
