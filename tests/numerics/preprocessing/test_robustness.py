"""Correlation of KL divergences between halves of the texts, KL by domain and on fewer texts."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.preprocess import preprocess
from mlflow_modelmap.numerics.preprocessing.robustness import (
    between_halves,
    correlation,
    kl_after_removing,
    kl_by_domain,
)
from mlflow_modelmap.numerics.trajectory.kl_along import kl_previous
from tests.numerics.matrix.matrices import repeated, weighted


def generated(points, texts, seed, positions):
    """Points whose true distances are those of `positions`, seen through random texts."""
    rng = np.random.default_rng(seed)
    values = -300 + 5 * positions @ rng.standard_normal((positions.shape[1], texts))
    names = tuple(f"p{i}" for i in range(points))
    return LogLikelihoodMatrix(values, names, rng.integers(800, 1024, texts))


@pytest.fixture
def positions():
    return np.random.default_rng(0).standard_normal((12, 4))


def test_correlation_is_pearsons_over_pairs():
    rng = np.random.default_rng(1)
    a = rng.random((5, 5))
    b = a + 0.3 * rng.random((5, 5))
    above = np.triu_indices(5, 1)
    expected = np.corrcoef(a[above], b[above])[0, 1]
    assert correlation(a + a.T, b + b.T) == pytest.approx(
        np.corrcoef((a + a.T)[above], (b + b.T)[above])[0, 1]
    )
    assert correlation(a, b) == pytest.approx(expected)
    assert correlation(a, a) == pytest.approx(1.0)


def test_halves_of_many_texts_agree_and_of_few_do_not(positions):
    many = between_halves(generated(12, 4000, 2, positions), splits=4)
    few = between_halves(generated(12, 8, 2, positions), splits=4)
    assert (many["correlation"] > 0.98).all()
    assert many["mean_ratio"].between(0.9, 1.1).all()
    assert few["correlation"].mean() < 0.9
    assert many["texts"].tolist() == [2000] * 4
    again = between_halves(generated(12, 4000, 2, positions), splits=4)
    assert many.equals(again)


def test_kl_by_domain_is_kl_on_those_texts_alone(positions):
    matrix = generated(12, 60, 7, positions)
    domains = ["law", "code", "code"] * 19 + ["code", "law", "one"]
    table = kl_by_domain(matrix, domains, [0, 3], [1, 8])
    assert table[["domain", "texts", "pair"]].values.tolist() == [
        ["code", 39, 0],
        ["code", 39, 1],
        ["law", 20, 0],
        ["law", 20, 1],
    ]
    law = np.array(domains) == "law"
    kl, se = kl_between(
        matrix.values[3, law],
        matrix.values[8, law],
        float(matrix.text_bytes[law].mean()),
        text_bytes=matrix.text_bytes[law],
    )
    assert table["kl"][3] == pytest.approx(kl)
    assert table["se"][3] == pytest.approx(se)


def test_the_kl_of_a_domain_of_nine_texts_has_no_error(positions):
    matrix = generated(12, 19, 8, positions)
    table = kl_by_domain(matrix, ["few"] * 9 + ["ten"] * 10, [0, 1], [1, 1]).set_index("domain")
    assert np.isnan(table["se"]["few"].iloc[0])
    assert table["kl"]["few"].iloc[0] > 0
    assert table["se"]["ten"].iloc[0] > 0
    assert table["se"]["few"].iloc[1] == 0  # a point and itself


def test_what_cannot_be_compared(positions):
    matrix = generated(12, 3, 8, positions)
    with pytest.raises(InputError, match="3 texts cannot be halved"):
        between_halves(matrix)
    with pytest.raises(InputError, match="2 points have too few pairs"):
        correlation(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="All KL divergences are equal"):
        correlation(np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(InputError, match="2 domains do not fit 3 texts"):
        kl_by_domain(matrix, ["a", "b"], [0], [1])


def test_kl_after_removing_is_that_of_a_matrix_without_those_texts(pythia):
    matrix, given, *_ = pythia
    done = preprocess(matrix, given, drop_texts=None)
    table = kl_after_removing(
        done.matrix, given, done.scores.maximum, removed=(0, 10, 50, 199), from_step=2000
    )
    assert sorted(set(table["removed"])) == [0, 10, 50]
    order = np.argsort(-done.scores.maximum, kind="stable")
    for count in (0, 10, 50):
        left = done.matrix.keep_texts(np.sort(order[count:]))
        expected = kl_previous(coordinates(left), given)
        expected = expected[expected["step_from"] >= 2000]
        got = table[table["removed"] == count]
        np.testing.assert_array_equal(got["step"], expected["step"])
        np.testing.assert_allclose(got["kl"], expected["kl"], rtol=1e-9)


def test_kl_after_removing_weighted_texts_is_that_of_what_is_left(pythia):
    matrix, given, *_ = pythia
    times = np.random.default_rng(0).integers(1, 6, 200)
    scores = np.random.default_rng(1).random(200)
    table = kl_after_removing(weighted(matrix, times.astype(float)), given, scores, removed=[0, 40])
    for removed in (0, 40):
        kept = np.argsort(-scores)[removed:]
        left = repeated(matrix.keep_texts(kept), times[kept])
        expected = kl_previous(coordinates(left), given)["kl"]
        found = table.loc[table["removed"] == removed, "kl"]
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_halves_are_made_before_texts_are_dropped_and_cleaned_alone(positions):
    """What cleans a half sees half of all texts, and nothing of the other half."""
    matrix = generated(12, 40, 9, positions)
    seen = []

    def clean(part):
        seen.append(part.values.shape[1])
        worst = np.argsort(np.ptp(part.values, axis=0))[:-3]
        return part.keep_texts(np.sort(worst))

    found = between_halves(matrix, splits=2, seed=5, clean=clean)
    assert seen == [20, 20, 20, 20]
    assert found["texts"].tolist() == [17, 17]
    order = np.random.default_rng(5).permutation(40)
    parts = [clean(matrix.keep_texts(np.sort(half))) for half in (order[:20], order[20:])]
    tables = [
        [[kl_between(a, b, part.mean_bytes)[0] for a in part.values] for b in part.values]
        for part in parts
    ]
    assert found["correlation"][0] == pytest.approx(correlation(*map(np.array, tables)))
