"""Words: a number with its error, as people read it; value_and_error.js does the same."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

MISSING = "not measured"
"""What stands for a value that there is not."""
SMALLEST, LARGEST = -4, 5
"""Powers of ten: numbers below 10**-4, and from 10**5 on, have an exponent."""
MOST_PLACES = 12


def with_error(value: float | None, error: float | None) -> str:
    """A value and its standard error with two digits of the error: ``0.0123 ± 0.0011``.

    Both have one exponent where the larger of them is below 0.0001, or 100,000 and more:
    ``(2.13 ± 0.04)e-06``. Halves are rounded away from 0.

    Parameters
    ----------
    value
        None or not finite: "not measured".
    error
        Not negative. 0: the value has four significant digits, and the error is ``0``. None or
        not finite, which is unknown: the value alone, with three significant digits.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    known = error is not None and math.isfinite(error)
    spread = abs(error) if error is not None and known else 0.0
    size = max(abs(value), spread)
    if size == 0.0:
        return "0 ± 0" if known else "0"
    exponent = _exponent(size, 15)
    if SMALLEST <= exponent < LARGEST:
        exponent = 0
    value, spread = _shifted(value, exponent), _shifted(spread, exponent)
    # What is known exactly has four digits, and three where the error is unknown.
    last = 1 - _exponent(spread, 1) if spread else 2 + known - _exponent(abs(value), 2)
    places = min(MOST_PLACES, max(0, last))
    text = _fixed(value, places)
    if known:
        text += f" ± {_fixed(spread, places) if spread else '0'}"
    if not exponent:
        return text
    return f"({text})e{exponent:+03d}" if known else f"{text}e{exponent:+03d}"


def _exponent(number: float, digits: int) -> int:
    """The power of ten that a positive number has once it is rounded to so many more digits."""
    return int(f"{number:.{digits}e}".partition("e")[2])


def _shifted(number: float, exponent: int) -> float:
    """A number divided by a power of ten in its decimals, which no two languages do otherwise."""
    return float(Decimal(repr(float(number))).scaleb(-exponent))


def _fixed(number: float, places: int) -> str:
    rounded = Decimal(float(number)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return f"{abs(rounded) if rounded.is_zero() else rounded:f}"
