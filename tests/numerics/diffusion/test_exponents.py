"""Diffusion exponents of fractional Brownian motion of known exponent, and their intervals."""

import numpy as np
import pytest
from scipy import special

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import (
    Interval,
    check_window,
    effective_dimension,
    exponent_of_coordinates,
    exponent_of_distances,
    power_law,
    ratio,
    sliding_exponents,
    windows,
)
from mlflow_modelmap.numerics.diffusion.fractional_motion import slope_deviation
from tests.numerics.generated import fbm_paths, squared_table, training

TEN = 1000 * np.arange(1, 11)
GRID = np.linspace(0.02, 1.90, 48)


def test_an_exact_power_law_is_found():
    fit = power_law(TEN, 3e-4 * TEN**0.37)
    assert fit.exponent == pytest.approx(0.37, abs=1e-12)
    assert np.exp(fit.intercept) == pytest.approx(3e-4)
    assert fit.r2 == pytest.approx(1.0)


def test_least_squares_and_r2_are_those_of_polyfit():
    rng = np.random.default_rng(1)
    squared = TEN**0.5 * np.exp(0.2 * rng.standard_normal(10))
    x, y = np.log(TEN), np.log(squared)
    slope, intercept = np.polyfit(x, y, 1)
    fit = power_law(TEN, squared)
    assert (fit.exponent, fit.intercept) == pytest.approx((slope, intercept))
    assert fit.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_fractional_brownian_motion_is_recovered_within_its_interval(exponent):
    found = exponent_of_coordinates(TEN, fbm_paths(exponent, TEN, np.ones(3000), seed=4))
    assert found.low <= exponent <= found.high
    assert found.high - found.low < 0.12
    assert found.exponent == pytest.approx(exponent, abs=0.05)
    assert 1500 < found.directions < 6000


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("variances", [np.ones(30), 1 / np.arange(1, 60)], ids=["equal", "unequal"])
def test_the_interval_covers_the_exponent_as_often_as_it_says(exponent, variances):
    rng = np.random.default_rng(11)
    by_coordinates = by_distances = 0
    for _ in range(150):
        x = fbm_paths(exponent, TEN, variances, rng)
        gram = x[1:] @ x[1:].T
        own = np.diagonal(gram)
        one = exponent_of_coordinates(TEN, x)
        two = exponent_of_distances(TEN, own, own[:, None] + own - 2 * gram)
        assert one.exponent == pytest.approx(two.exponent)
        by_coordinates += one.low <= exponent <= one.high
        by_distances += two.low <= exponent <= two.high
    # Of 150 at 95 %, fewer than 134 come once in a thousand times.
    assert by_coordinates >= 134
    assert by_distances >= 134


def test_the_regressions_own_error_would_not_do():
    """Why the interval is made as it is: residuals along one path are correlated."""
    rng = np.random.default_rng(5)
    x = np.log(TEN) - np.log(TEN).mean()
    covered = 0
    for _ in range(300):
        squared = np.sum(fbm_paths(1.0, TEN, np.ones(30), rng)[1:] ** 2, axis=1)
        fit = power_law(TEN, squared)
        residual = np.log(squared) - fit.intercept - fit.exponent * np.log(TEN)
        error = np.sqrt(residual @ residual / 8 / (x @ x))
        covered += abs(fit.exponent - 1.0) <= 2.31 * error
    assert covered < 0.75 * 300


@pytest.mark.parametrize(("exponent", "directions"), [(0.2, 3), (1.0, 1), (1.0, 40)])
def test_the_deviation_of_the_slope_is_exact(exponent, directions):
    rng = np.random.default_rng(6)
    slopes = [
        power_law(TEN, np.sum(fbm_paths(exponent, TEN, np.ones(directions), rng)[1:] ** 2, axis=1))
        for _ in range(3000)
    ]
    expected = np.interp(exponent, GRID, slope_deviation(TEN, directions))
    assert np.std([s.exponent for s in slopes]) == pytest.approx(expected, rel=0.06)


def test_the_deviation_of_two_lags_has_a_closed_form():
    """At c = 1 and lags 1 and 2 of d = 2 directions, the covariance of logs is a dilogarithm."""
    covariance = special.spence(1 - 0.5)
    variance = (2 * special.polygamma(1, 1.0) - 2 * covariance) / np.log(2) ** 2
    found = np.interp(1.0, GRID, slope_deviation([1, 2], 2.0) ** 2)
    assert found == pytest.approx(variance, rel=1e-3)


def test_directions_are_counted_as_a_participation_ratio():
    variances = 1 / np.arange(1, 200)
    true = variances.sum() ** 2 / np.sum(variances**2)
    rng = np.random.default_rng(7)
    found = [
        1 / exponent_of_coordinates(TEN, fbm_paths(0.5, TEN, variances, rng)).directions
        for _ in range(200)
    ]
    assert 1 / np.mean(found) == pytest.approx(true, rel=0.1)


def test_the_sampling_of_texts_widens_the_interval():
    """A thousand directions, but all weight on a few texts that move alike."""
    rng = np.random.default_rng(8)
    x = fbm_paths(0.2, TEN, np.ones(1000), rng)
    few = np.concatenate([x, 20 * fbm_paths(1.5, TEN, np.ones(2), rng)], axis=1)
    even, uneven = exponent_of_coordinates(TEN, x), exponent_of_coordinates(TEN, few)
    assert uneven.text_error > 5 * even.text_error
    assert uneven.high - uneven.low > 2 * 1.9 * uneven.text_error


def test_windows_go_by_steps_so_that_missing_checkpoints_do_not_stretch_them():
    steps = np.array([0, 1000, 2000, 4000, 5000, 6000, 9000, 10_000])
    found = [(int(steps[s]), steps[m].tolist()) for s, m in windows(steps, 4000, 1000)]
    assert found == [(1000, [2000, 4000, 5000]), (2000, [4000, 5000, 6000])]
    wider = {int(steps[s]): steps[m].tolist() for s, m in windows(steps, 5000)}
    assert wider[0] == [1000, 2000, 4000, 5000]
    assert wider[5000] == [6000, 9000, 10_000]
    assert 6000 not in wider


def test_missing_checkpoints_leave_the_exponent_where_it_is():
    steps, x = training(0.5, 60, 3000, fast_start=False)
    full = sliding_exponents(steps, 10_000, 2000, coordinates=x)
    keep = np.random.default_rng(2).random(60) > 0.3
    keep[[0, -1]] = True
    thin = sliding_exponents(steps[keep], 10_000, 2000, coordinates=x[keep])
    both = full.merge(thin, on="t0", suffixes=("", "_thin"))
    assert len(both) > 20
    assert (both["checkpoints_thin"] < both["checkpoints"]).any()
    assert np.abs(both["exponent"] - both["exponent_thin"]).max() < 0.12
    assert ((both["low_thin"] <= 0.5) & (both["high_thin"] >= 0.5)).mean() > 0.85


def test_sliding_by_coordinates_and_by_distances_agree():
    steps, x = training(1.0, 30, 200, fast_start=False)
    by_coordinates = sliding_exponents(steps, 10_000, 5000, coordinates=x)
    by_distances = sliding_exponents(steps, 10_000, 5000, table=squared_table(x))
    assert by_coordinates["t0"].tolist() == list(range(5000, 22_000, 1000))
    assert (by_coordinates["t1"] == by_coordinates["t0"] + 10_000).all()
    for column in ("exponent", "r2", "directions"):
        np.testing.assert_allclose(by_coordinates[column], by_distances[column], rtol=1e-8)


def test_distances_known_from_each_start_only_take_the_directions_of_other_windows():
    steps, x = training(1.0, 30, 200, fast_start=False)
    table = squared_table(x)
    table[20:, 21:] = np.nan
    np.fill_diagonal(table, 0.0)
    found = sliding_exponents(steps, 10_000, 2000, table=table)
    last = found.iloc[-1]
    assert last["t0"] == 21_000
    assert np.isnan(last["directions"])
    assert last["low"] < last["exponent"] < last["high"]


def test_identical_checkpoints_are_not_fitted():
    steps, x = training(0.5, 20, 100, fast_start=False)
    x[7] = x[6]
    found = sliding_exponents(steps, 5000, 2000, coordinates=x)
    assert np.isfinite(found[["exponent", "low", "high", "r2"]]).all(axis=None)
    assert found.loc[found["t0"] == steps[6], "checkpoints"].item() == 4
    assert sliding_exponents(steps, 5000, 2000, coordinates=np.ones_like(x)).empty


def test_dimensions_and_the_hoelder_exponent():
    assert effective_dimension(Interval(1.0, 0.8, 1.25)) == (2.0, 1.6, 2.5)
    assert effective_dimension(Interval(0.2, -0.1, 0.4)).value == 10.0
    assert np.isnan(effective_dimension(Interval(0.2, -0.1, 0.4)).high)
    alpha = ratio(Interval(0.2, 0.15, 0.25), Interval(1.0, 0.9, 1.1))
    assert alpha.value == pytest.approx(0.2)
    assert 0.13 < alpha.low < 0.16
    assert 0.24 < alpha.high < 0.27
    exact = ratio(Interval(0.2, 0.1, 0.3), Interval(2.0, 2.0, 2.0))
    assert exact == pytest.approx((0.1, 0.05, 0.15))
    assert np.isnan(ratio(Interval(0.2, 0.1, 0.3), Interval(0.5, -0.5, 1.5)).high)


def test_the_ratio_covers_too():
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(150):
        q = exponent_of_coordinates(TEN, fbm_paths(0.2, TEN, np.ones(60), rng))
        w = exponent_of_coordinates(TEN, fbm_paths(1.0, TEN, np.ones(60), rng))
        alpha = ratio(Interval(q.exponent, q.low, q.high), Interval(w.exponent, w.low, w.high))
        covered += alpha.low <= 0.2 <= alpha.high
    assert covered >= 134


@pytest.mark.parametrize(
    ("lags", "squared", "message"),
    [
        ([1, 2, 3], [1.0, 0.0, 2.0], "squared distance of checkpoint 2 after the start is 0.0"),
        ([1, 2, 3], [1.0, np.nan, 2.0], "is nan"),
        ([0, 2, 3], [1.0, 1.0, 2.0], "The lag of checkpoint 1 after the start is 0.0"),
        ([2], [1.0], "cannot be fitted to 1 distances"),
    ],
)
def test_what_has_no_exponent(lags, squared, message):
    with pytest.raises(InputError, match=message):
        power_law(lags, squared)


@pytest.mark.parametrize(
    ("steps", "window", "first", "message"),
    [
        ([0, 1000, 2000, 3000], 10_000, 0, "'a' spans 3000 steps from step 0 on, fewer than"),
        ([0, 1000, 2000, 3000], 2000, 2000, "spans 1000 steps from step 2000 on"),
        ([0, 1000, 2000, 3000], 2000, 0, "fewer than 4 checkpoints in every window of 2000"),
        ([0, 1000, 2000, 3000], -1, 0, "A window of -1 steps is not possible"),
    ],
)
def test_windows_that_do_not_fit(steps, window, first, message):
    with pytest.raises(InputError, match=message):
        check_window(steps, window, first, "a")


def test_a_path_that_does_not_spread_has_no_dimension():
    with pytest.raises(InputError, match=r"An exponent of -0.1 has no effective dimension"):
        effective_dimension(Interval(-0.1, -0.2, 0.0))
    with pytest.raises(InputError, match="ratio to an exponent of 0"):
        ratio(Interval(0.2, 0.1, 0.3), Interval(0.0, 0.0, 0.0))
