"""Shifts: how alike two are and what a sum explains, with errors over the choice of texts."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.points.shifts import cosine_with_error, unexplained


def centred(values):
    return values - values.mean(axis=-1, keepdims=True)


def drawn(generator, clusters, size):
    """Two correlated changes of texts in documents that share half of their variance."""
    shared = generator.normal(size=(2, clusters)).repeat(size, axis=1)
    own = generator.normal(size=(2, clusters * size))
    x, noise = shared + own
    return centred(x), centred(0.6 * x + 0.8 * noise)


def test_the_cosine_of_shifts_is_the_correlation_of_changes():
    x, y = drawn(np.random.default_rng(0), 50, 4)
    cosine, _ = cosine_with_error(x, y)
    assert float(cosine) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    share, _ = unexplained(y, x)
    assert float(share) == pytest.approx(np.var(y - x) / np.var(y), abs=1e-12)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("of", [cosine_with_error, unexplained])
def test_errors_are_the_spread_over_samples_of_documents(of, size):
    generator = np.random.default_rng(1)
    clusters = 400
    sampling = Sampling(documents=np.arange(clusters).repeat(size))
    found = [of(*drawn(generator, clusters, size), sampling) for _ in range(400)]
    values, errors = np.array(found, dtype=float).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)


def test_a_shift_of_nothing_has_no_direction_and_nothing_to_explain():
    x = centred(np.arange(5.0))
    assert np.isnan(cosine_with_error(np.zeros(5), x)[0])
    assert np.isnan(unexplained(np.zeros(5), x)[0])
    cosine, error = cosine_with_error(x, np.stack([x, -2 * x]))
    assert cosine == pytest.approx([1, -1])
    assert error == pytest.approx([0, 0], abs=1e-12)
    assert [float(v) for v in unexplained(x, 2 * x)] == pytest.approx([1, 0])


def test_shifts_of_other_texts_are_refused():
    with pytest.raises(InputError, match=r"\(3,\) and \(4,\)"):
        cosine_with_error(np.ones(3), np.ones(4))


def test_a_share_has_the_interval_of_a_kl_and_not_one_that_is_even():
    # 200 samples of 60 texts with heavy tails; the truth is (0.2 / 1)^2 + 0.4^2 of Student's t.
    random = np.random.default_rng(1)
    measured, noise = random.standard_t(4, (2, 200, 60))
    predicted = 0.8 * measured + 0.4 * noise
    share, error = unexplained(
        measured - measured.mean(axis=1, keepdims=True),
        predicted - predicted.mean(axis=1, keepdims=True),
    )
    low, high = confidence_interval(share, error)
    held = np.mean((low <= 0.2) & (high >= 0.2))
    even = np.mean(np.abs(share - 0.2) <= 1.96 * error)
    assert 0.92 < held <= 0.99
    assert even < 0.91
