"""Exponents in windows of steps, with missing, identical and unknown checkpoints."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.windows import check_window, sliding_exponents, windows
from tests.numerics.generated import squared_table, training


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
