"""A power law is found, and what has none is refused."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.power_law import power_law

TEN = 1000 * np.arange(1, 11)


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
