"""Numerics: what follows from exponents - the Hoelder exponent c_q / c_w, the dimension 2 / c."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlflow_modelmap.errors import InputError


class Interval(NamedTuple):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


def ratio(numerator: Interval, denominator: Interval) -> Interval:
    """Ratio of two estimates with its confidence interval: the Hoelder exponent c_q / c_w.

    The interval is recovered from those of the two (Donner and Zou's method), taken as
    independent; their errors rather go together along one training, which makes it too wide, not
    too narrow. Where the denominator's interval reaches 0 the ends are NaN.

    Raises
    ------
    InputError
        If the denominator is 0.
    """
    a, b = numerator.value, denominator.value
    if b == 0:
        raise InputError("A ratio to an exponent of 0 does not exist; the weights do not diffuse.")
    nan = float("nan")
    if not denominator.low > 0 or not np.isfinite([*numerator, *denominator]).all():
        return Interval(a / b, nan, nan)
    product = a * b

    def end(numerator_end: float, denominator_end: float, sign: int) -> float:
        bottom = denominator_end * (2.0 * b - denominator_end)
        inside = product**2 - numerator_end * (2.0 * a - numerator_end) * bottom
        if bottom <= 0 or inside < 0:
            return nan
        return float((product + sign * np.sqrt(inside)) / bottom)

    return Interval(
        a / b,
        end(numerator.low, denominator.high, -1),
        end(numerator.high, denominator.low, +1),
    )


def effective_dimension(exponent: Interval) -> Interval:
    """D = 2 / c, the dimension of a path of fractional Brownian motion (Appendix B).

    Parameters
    ----------
    exponent
        c with its interval; the ends of the dimension are NaN where those of c are not positive.

    Raises
    ------
    InputError
        If c is not positive: a path that does not spread has no such dimension.
    """
    if not exponent.value > 0:
        raise InputError(
            f"An exponent of {exponent.value:.3g} has no effective dimension; it must be positive."
        )
    nan = float("nan")
    return Interval(
        2.0 / exponent.value,
        2.0 / exponent.high if exponent.high > 0 else nan,
        2.0 / exponent.low if exponent.low > 0 else nan,
    )
