"""Scores predicted from places: against explicit fits, planted answers, and what must not leak."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression, Ridge

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.prediction.intervals import cv_plus
from mlflow_modelmap.numerics.prediction.out_of_fold import divisions, out_of_fold
from mlflow_modelmap.numerics.prediction.predicted import in_words, predicted_scores
from mlflow_modelmap.numerics.prediction.ridge import PENALTIES, fit_ridge, left_out_errors
from mlflow_modelmap.numerics.prediction.skill import (
    WIDER,
    correlation,
    degrees,
    ratio_of_errors,
    root_mean_square,
)
from mlflow_modelmap.numerics.prediction.text_weights import text_weights


def families(
    count: int = 12, size: int = 4, directions: int = 5, texts: int = 40, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates in a few directions, the families of the points, scores linear in the place."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(count), size)
    z = rng.normal(size=(count, directions))[group] + 0.5 * rng.normal(
        size=(group.size, directions)
    )
    q = z @ rng.normal(size=(directions, texts)) / 10
    return q, group, 60 + 7 * z[:, 0] - 4 * z[:, 1]


def features_centred(q: np.ndarray) -> np.ndarray:
    return q - q.mean(axis=0)


def test_errors_of_groups_left_out_are_those_of_fits_without_them():
    q, group, y = families(5, 3)
    y = y + np.random.default_rng(1).normal(size=y.size)
    centred = features_centred(q) @ features_centred(q).T
    alphas = np.array([0.01, 1.0, 30.0])
    found = left_out_errors(centred, y, group, alphas)
    for a, alpha in enumerate(alphas):
        for g in range(5):
            out = group == g
            fit = Ridge(alpha=alpha, solver="svd").fit(q[~out], y[~out])
            np.testing.assert_allclose(found[a, out], y[out] - fit.predict(q[out]), rtol=1e-7)
    with pytest.raises(InputError, match="groups"):
        left_out_errors(centred, y, np.zeros(y.size), alphas)


def test_a_fit_is_ridge_regression_with_the_penalty_that_groups_choose():
    q, group, y = families(6, 4)
    y = y + 3 * np.random.default_rng(2).normal(size=y.size)
    fit = fit_ridge(q @ q.T, y, group)
    unit = np.trace(features_centred(q) @ features_centred(q).T) / y.size
    squares = [
        sum(
            ((y[group == g] - one.predict(q[group == g])) ** 2).sum()
            for g in range(6)
            for one in [Ridge(alpha=p * unit, solver="svd").fit(q[group != g], y[group != g])]
        )
        for p in PENALTIES
    ]
    assert fit.penalty == PENALTIES[int(np.argmin(squares))]
    assert PENALTIES[0] < fit.penalty < PENALTIES[-1]
    same = Ridge(alpha=fit.penalty * unit, solver="svd").fit(q, y)
    new = families(seed=9)[0] + 0.3  # the columns of new points need not be centred
    np.testing.assert_allclose(fit.predict(new @ q.T), same.predict(new), rtol=1e-8)
    np.testing.assert_allclose(q.T @ fit.dual, same.coef_, rtol=1e-7, atol=1e-10)
    with pytest.raises(InputError, match="same log-likelihoods"):
        fit_ridge(np.ones((24, 24)), y, group)


@pytest.mark.parametrize(("count", "rounds"), [(12, 3), (6, 1)])
def test_no_group_is_in_training_and_test_at_once(count, rounds):
    q, group, y = families(count, 3)
    parts = list(divisions(group, 10, rounds, seed=4))
    for repeat in range(rounds):
        tests = [rows for r, rows in parts if r == repeat]
        assert sorted(np.concatenate(tests)) == list(range(y.size))
        assert all(
            len(set(group[a]) & set(group[b])) == 0 for a in tests for b in tests if a is not b
        )
    # What is said of a group does not depend on its own scores, not even through the penalty.
    other = y.copy()
    other[group == 1] += np.array([500.0, -900.0, 70.0])
    before, after = (out_of_fold(q @ q.T, s, group, q[:, 0], repeats=rounds) for s in (y, other))
    for name in ("predicted", "mean", "by_bits"):
        one, two = getattr(before, name), getattr(after, name)
        assert one.shape == (rounds, y.size)
        np.testing.assert_array_equal(one[:, group == 1], two[:, group == 1])
        assert not np.allclose(one[:, group != 1], two[:, group != 1])


def test_three_groups_are_left_out_one_by_one_even_in_two_folds():
    q, group, y = families(3, 4)
    found = out_of_fold(q @ q.T, y, group, q[:, 0], folds=2, repeats=4)
    means = [y[group != g].mean() for g in range(3)]
    np.testing.assert_allclose(found.mean, np.array(means)[group][None])


def test_a_planted_score_is_found_and_bits_per_byte_do_not_find_it():
    q, group, y = families()
    bits = np.random.default_rng(3).normal(size=y.size)
    found = predicted_scores(q @ q.T, y, group, bits)
    # Least squares in the few directions that there are, family by family.
    z = np.linalg.svd(features_centred(q), full_matrices=False)[0][:, :5]
    expected, by_line = np.empty_like(y), np.empty_like(y)
    for g in range(12):
        out = group == g
        expected[out] = LinearRegression().fit(z[~out], y[~out]).predict(z[out])
        by_line[out] = np.polyval(np.polyfit(bits[~out], y[~out], 1), bits[out])
    assert np.corrcoef(expected, y)[0, 1] > 0.9999
    rows = found.skill.set_index("predictor")
    assert rows.loc["map", "r"] > 0.999
    np.testing.assert_allclose(found.predicted, expected, atol=0.2)
    assert rows.loc["map", "rmse"] < 0.05 * rows.loc["mean", "rmse"]
    assert rows.loc["bits per byte", "rmse"] == pytest.approx(
        np.sqrt(np.mean((by_line - y) ** 2)), rel=0.1
    )
    assert rows.loc["bits per byte", "r_low"] < 0 < rows.loc["bits per byte", "r_high"]
    assert np.isnan(rows.loc["mean", "r"])
    assert in_words(found.skill).startswith("The map tells more (RMSE 0.0")


def test_a_score_that_is_the_bits_per_byte_is_told_better_by_them():
    q, group, _ = families()
    bits = np.random.default_rng(5).normal(size=len(group))
    found = predicted_scores(q @ q.T, 3 - 2 * bits + 0.1 * q[:, 0], group, bits)
    assert found.skill.set_index("predictor").loc["bits per byte", "r"] > 0.99
    assert "The map tells less (RMSE" in in_words(found.skill)


def test_points_without_a_score_are_predicted_by_all_that_have_one():
    q, group, y = families()
    rng = np.random.default_rng(6)
    y = y + rng.normal(size=y.size)
    scores = y.copy()
    scores[::5] = np.nan
    known = np.isfinite(scores)
    found = predicted_scores(q @ q.T, scores, group, np.zeros(y.size))
    fit = fit_ridge((q @ q.T)[np.ix_(known, known)], y[known], group[known])
    np.testing.assert_allclose(found.predicted[~known], fit.predict(q[~known] @ q[known].T))
    np.testing.assert_array_equal(found.dual[~known], 0.0)
    assert np.isnan(found.low[known]).all()
    assert np.isnan(found.mean[~known]).all()
    inside = (found.low <= y) & (y <= found.high)
    assert inside[~known].mean() >= 0.8
    # As long as errors on families that were left out are: not as short as those of the fit.
    error = np.abs(found.predicted - scores)[known]
    half = (found.high - found.low)[~known] / 2
    assert (half > np.quantile(error, 0.9)).all()
    assert (half < 2 * error.max()).all()


def test_intervals_are_the_quantiles_of_folds_and_their_errors():
    rng = np.random.default_rng(7)
    predicted, y, new = rng.normal(size=(1, 39)), rng.normal(size=39), rng.normal(size=(1, 39, 1))
    low, high = cv_plus(predicted, y, new)
    error = np.abs(predicted[0] - y)
    # Barber et al. (2021): of n values the floor(0.05 (n + 1))-th and the ceil(0.95 (n + 1))-th.
    assert low[0] == np.sort(new[0, :, 0] - error)[2 - 1]
    assert high[0] == np.sort(new[0, :, 0] + error)[38 - 1]


def test_r_rmse_and_ratio_have_the_jackknife_over_groups():
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(7), [3, 5, 4, 2, 6, 4, 4])
    y = rng.normal(size=group.size) + rng.normal(size=7)[group]
    mean = 0.3 * rng.normal(size=7)[group]
    predicted = 0.7 * y + 0.5 * rng.normal(size=y.size)
    other = 0.3 * y
    sizes = np.bincount(group)
    free = sizes.sum() ** 2 / (sizes**2).sum() - 1
    assert degrees(group) == pytest.approx(free)

    def half(statistic):
        left = np.array([statistic(group != g) for g in range(7)])
        error = np.sqrt(6 / 7 * ((left - left.mean()) ** 2).sum())
        return WIDER * stats.t.ppf(0.975, free) * error

    def z(rows):
        return np.arctanh(np.corrcoef((predicted - mean)[rows], (y - mean)[rows])[0, 1])

    def log_rmse(rows):
        return np.log(np.sqrt(np.mean((predicted - y)[rows] ** 2)))

    def log_ratio(rows):
        return log_rmse(rows) - np.log(np.sqrt(np.mean((other - y)[rows] ** 2)))

    every = np.ones(y.size, dtype=bool)
    for found, statistic, back in (
        (correlation(predicted, y, mean, group), z, np.tanh),
        (root_mean_square(predicted, y, group), log_rmse, np.exp),
        (ratio_of_errors(predicted, other, y, group), log_ratio, np.exp),
    ):
        value, length = statistic(every), half(statistic)
        np.testing.assert_allclose(found, back([value, value - length, value + length]))


def test_predicting_the_mean_has_no_r_and_one_below_chance_reaches_to_zero():
    group = np.repeat(np.arange(10), 3)
    y = np.random.default_rng(9).normal(size=30)
    mean = (y.sum() - np.bincount(group, y)[group]) / 27
    assert np.corrcoef(mean, y)[0, 1] < -0.4
    assert np.isnan(correlation(mean, y, mean, group)).all()
    found = correlation(-y, y, np.zeros(30), group)
    assert found.value == pytest.approx(-1)
    assert found.high == 0.0


@pytest.mark.parametrize(
    ("scores", "groups", "said"),
    [
        ([1.0] * 9 + [np.nan] * 21, np.arange(30), "Only 9 points have a score of 'mmlu'"),
        ([5.0] * 30, np.arange(30), "All 30 scores of 'mmlu' are 5"),
        (np.arange(30.0), np.arange(30) % 2, "are of 2 groups"),
        (np.arange(30.0), np.zeros(30), "are of 1 group,"),
    ],
)
def test_too_few_or_all_alike_is_refused(scores, groups, said):
    products = families()[0][:30] @ families()[0][:30].T
    with pytest.raises(InputError, match=said):
        predicted_scores(products, np.array(scores), groups, np.zeros(30), name="mmlu")


@pytest.mark.parametrize(("points", "told"), [(29, True), (30, False)])
def test_few_points_are_told(points, told):
    q, group, y = families()
    scores = np.where(np.arange(y.size) < points, y, np.nan)
    found = predicted_scores(q @ q.T, scores, group, np.zeros(y.size), name="mmlu")
    assert (found.notice is not None) == told
    if told:
        assert found.notice.startswith("mmlu: 29 points in 8 groups (as good as 7.4")


def test_few_groups_are_told_even_of_many_points():
    q, group, y = families()
    found = predicted_scores(q @ q.T, y, group % 4, np.zeros(y.size))
    assert found.notice.startswith("score: 48 points in 4 groups (as good as 4.0")


def test_texts_that_carry_a_score_come_first_with_what_they_do_to_it():
    rng = np.random.default_rng(11)
    q = rng.normal(size=(200, 20))
    truth = np.zeros(20)
    truth[[3, 7]] = 5.0, -2.0
    fit = fit_ridge(q @ q.T, q @ truth, np.arange(200) % 20)
    found = text_weights(q, fit.dual)
    assert found["text"].tolist()[:2] == [3, 7]
    np.testing.assert_allclose(found["weight"][:2], [5, -2], rtol=0.01)
    np.testing.assert_allclose(found["effect"][:2], [5, -2] * q.std(axis=0)[[3, 7]], rtol=0.01)
    np.testing.assert_allclose(found["share"][:2], [25 / 29, 4 / 29], rtol=0.01)
