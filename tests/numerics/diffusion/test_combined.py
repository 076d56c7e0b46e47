"""One exponent from several: known weights, known coverage, and estimates that disagree."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.combined import combined, combined_table
from mlflow_modelmap.numerics.diffusion.exponents import Exponent, exponent_of_coordinates
from tests.numerics.generated import fbm_paths


def test_the_mean_is_weighted_by_the_squared_errors():
    found = combined([0.2, 0.5], [0.1, 0.2])
    assert found.exponent == pytest.approx((0.2 / 0.01 + 0.5 / 0.04) / (1 / 0.01 + 1 / 0.04))
    scatter = ((0.2 - found.exponent) / 0.1) ** 2 + ((0.5 - found.exponent) / 0.2) ** 2
    assert found.heterogeneity == pytest.approx(stats.chi2.sf(scatter, 1))
    assert found.standard_error == pytest.approx(np.sqrt(scatter / 125))
    alike = combined([0.3, 0.32, 0.31], [0.1, 0.1, 0.1])
    assert alike.standard_error == pytest.approx(0.1 / np.sqrt(3))
    assert alike.high - alike.exponent == pytest.approx(1.959964 * 0.1 / np.sqrt(3))
    assert alike.heterogeneity > 0.9


def test_estimates_that_disagree_are_said_to():
    found = combined([0.2, 0.8, 0.5], [0.02, 0.02, 0.02])
    assert found.heterogeneity < 1e-6
    assert found.low < 0 < 1 < found.high


@pytest.mark.parametrize(
    ("exponents", "errors", "message"),
    [
        ([0.2], [0.1], "1 exponents with 1 errors cannot be combined"),
        ([0.2, 0.3], [0.1, 0.0], "The exponent 0.3 with the standard error 0.0 cannot"),
        ([0.2, np.nan], [0.1, 0.1], "The exponent nan with"),
    ],
)
def test_what_cannot_be_combined(exponents, errors, message):
    with pytest.raises(InputError, match=message):
        combined(exponents, errors)


def test_seeds_and_disjoint_windows_are_combined_and_cover():
    steps = 1000 * np.arange(32)
    rng = np.random.default_rng(1)
    covered = windows = 0
    for _ in range(25):
        frames = []
        for name in ("a", "b", "c"):
            path = fbm_paths(1.0, np.arange(1, 32), np.ones(20), rng)
            rows = [
                (t0, t0 + 10_000, *exponent_of_coordinates(steps[1:11], path[k : k + 11]))
                for t0, k in ((0, 0), (5000, 5), (10_000, 10), (20_000, 20))
            ]
            frame = pd.DataFrame(rows, columns=["t0", "t1", *Exponent._fields])
            frames.append(frame.assign(trajectory=name, space="q"))
        table = combined_table(pd.concat(frames, ignore_index=True), 5000)
        rows = table.set_index("over")
        assert rows.at["trajectories", "estimates"] == 3
        assert rows.at["windows of a", "estimates"] == 3  # from 0, 10,000 and 20,000
        covered += rows.at["trajectories", "low"] <= 1.0 <= rows.at["trajectories", "high"]
        windows += rows.at["windows of a", "low"] <= 1.0 <= rows.at["windows of a", "high"]
    assert covered >= 21
    assert windows >= 21
    assert combined_table(frames[0]).set_index("over").index.tolist() == ["windows of a"]
