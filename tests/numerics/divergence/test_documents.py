"""Errors over documents and of unequal lengths, against plain sums and against simulations."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_between, kl_pairs, kl_with_standard_error
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix

POINTS, TEXTS = 12, 240
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "coverage_documents.py"


def by_hand(values, size, weights, documents, per_byte):
    """KL and SE of rows 0 and 1, written out: influence of each text, summed over documents."""
    share = weights / weights.sum()
    mean_bytes = share @ size
    x = values[0] - values[1]
    left = x - (share @ x) * (size / mean_bytes if per_byte else 1.0)
    variance = share @ left**2
    influence = share * left**2 - variance * share * size / mean_bytes
    if per_byte:
        influence -= 2.0 * (share @ (size * left)) / mean_bytes * share * left
    unit = 2.0 * mean_bytes * np.log(2.0)
    if documents is None:
        return variance / unit, np.sqrt(np.sum(influence**2)) / unit
    sums: dict = {}
    for text, document in enumerate(documents.tolist()):
        key = document if document >= 0 else f"text {text}"
        sums[key] = sums.get(key, 0.0) + influence[text]
    squares = sum(value**2 for value in sums.values())
    return variance / unit, np.sqrt(squares * len(sums) / (len(sums) - 1)) / unit


@pytest.mark.parametrize("per_byte", [False, True])
@pytest.mark.parametrize("grouped", ["alone", "small", "large", "mixed"])
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_sums_over_documents_of_what_texts_add(per_byte, grouped, weighted):
    rng = np.random.default_rng(0)
    documents = {
        "alone": None,
        "small": rng.integers(0, 80, TEXTS),
        "large": np.repeat(np.arange(12), 20),
        "mixed": np.where(rng.random(TEXTS) < 0.3, -1, rng.integers(0, 20, TEXTS)),
    }[grouped]
    size = rng.integers(200, 1800, TEXTS).astype(float)
    values = (
        -0.7 * size + rng.normal(size=(POINTS, TEXTS)) * np.geomspace(1e-4, 30, POINTS)[:, None]
    )
    weights = rng.uniform(0.5, 3.0, TEXTS) if weighted else None
    names = tuple(map(str, range(POINTS)))
    matrix = LogLikelihoodMatrix(values, names, size, weights, documents, per_byte)
    kl, se = kl_with_standard_error(coordinates(matrix), matrix.sampling)
    for i, j in ((0, 1), (0, POINTS - 1), (5, 9)):
        w = np.ones(TEXTS) if weights is None else weights
        right = by_hand(values[[i, j]], size, w, documents, per_byte)
        assert (kl[i, j], se[i, j]) == pytest.approx(right, rel=1e-6)
        pair = kl_pairs(coordinates(matrix), [i], [j], matrix.sampling)
        assert (pair[0][0], pair[1][0]) == pytest.approx(right, rel=1e-9)
        between = kl_between(
            values[i],
            values[j],
            matrix.mean_bytes,
            weights=weights,
            text_bytes=size,
            documents=documents,
            per_byte=per_byte,
        )
        assert between == pytest.approx(right, rel=1e-9)


def test_of_equal_lengths_the_papers_formula_stays():
    rng = np.random.default_rng(1)
    values, size = rng.normal(-700, 20, (2, 100)), np.full(100, 900.0)
    d = values[0] - values[1]
    d = (d - d.mean()) / np.sqrt(2 * 100 * 900.0 * np.log(2))
    kl = np.sum(d**2)
    se = np.sqrt(np.sum(d**4) - kl**2 / 100)
    for per_byte in (False, True):
        for documents in (None, np.arange(100), np.full(100, -1)):
            matrix = LogLikelihoodMatrix(values, ("a", "b"), size, None, documents, per_byte)
            found = kl_with_standard_error(coordinates(matrix), matrix.sampling)
            assert (found[0][0, 1], found[1][0, 1]) == pytest.approx((kl, se), rel=1e-12)
            assert matrix.units == 100


def test_a_difference_in_proportion_to_length_is_no_kl_per_byte():
    rng = np.random.default_rng(2)
    size = rng.integers(100, 3000, 500).astype(float)
    first = -0.9 * size + rng.normal(size=500)
    second = first + 0.2 * size
    plain, _ = kl_between(first, second, size.mean(), text_bytes=size)
    left, _ = kl_between(first, second, size.mean(), text_bytes=size, per_byte=True)
    assert plain == pytest.approx(0.04 * size.var() / (2 * size.mean() * np.log(2)))
    assert left < 1e-20


def test_one_document_has_no_error_unless_nothing_differs():
    rng = np.random.default_rng(3)
    values = rng.normal(-700, 20, (2, 30))
    values = np.concatenate([values, values[:1]])
    one = np.zeros(30, dtype=int)
    matrix = LogLikelihoodMatrix(values, ("a", "b", "c"), np.full(30, 900.0), None, one)
    kl, se = kl_with_standard_error(coordinates(matrix), matrix.sampling)
    assert np.isnan(se[0, 1])
    assert se[0, 2] == kl[0, 2] == 0
    assert matrix.units == 1
    assert np.isnan(bits_and_error(values[0], matrix.text_bytes, documents=one)[1])


def test_bits_per_byte_have_an_error_over_documents():
    rng = np.random.default_rng(4)
    size, documents = rng.integers(300, 900, 60).astype(float), np.repeat(np.arange(15), 4)
    values = -size * np.repeat(rng.uniform(0.5, 1.5, 15), 4)
    bits, error = bits_and_error(values, size, documents=documents)
    residual = (-values / np.log(2) - bits * size).reshape(15, 4).sum(axis=1)
    assert error == pytest.approx(np.sqrt(np.sum(residual**2) * 15 / 14) / size.sum(), rel=1e-10)


@pytest.mark.parametrize("wrong", [np.zeros(29, dtype=int), np.zeros(30)])
def test_documents_that_do_not_fit_are_refused(wrong):
    with pytest.raises(InputError, match="do not fit 30 texts"):
        kl_between(np.arange(30.0), np.zeros(30), 900.0, documents=wrong)
    with pytest.raises(InputError, match="give them as text_bytes"):
        kl_between(np.arange(30.0), np.zeros(30), 900.0, per_byte=True)


def test_errors_are_as_large_as_the_estimates_vary():
    rows = runpy.run_path(str(BENCHMARK))["rows"](reduced=True)
    found = {(row["quantity"], row["law"].split(",")[0]): row["measured"] for row in rows}
    assert found["SE^2 of KL, naive", "clustered"] < 0.6
    assert found["SE^2 of KL, by document", "clustered"] == pytest.approx(1.0, abs=0.15)
    assert found["SE^2 of KL", "normal"] == pytest.approx(1.0, abs=0.15)
    assert found["SE^2 of KL, per byte", "normal"] == pytest.approx(1.0, abs=0.15)
