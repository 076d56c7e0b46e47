"""Numerics: a number with its error, as people read it."""

from __future__ import annotations

import math


def with_error(value: float, error: float) -> str:
    """A value and its standard error with two digits of the error: ``0.0123 ± 0.0011``.

    Below 0.0001 and from 100,000 on both have one exponent: ``(2.13 ± 0.04)e-06``.
    """
    if value == 0 and error == 0:
        return "0 ± 0"
    exponent = 0
    if value and not 1e-4 <= abs(value) < 1e5:
        exponent = math.floor(math.log10(abs(value)))
    scale = 10.0**exponent
    value, error = value / scale, error / scale
    places = 4 if error <= 0 else min(12, max(0, 1 - math.floor(math.log10(error))))
    text = f"{value:.{places}f} ± {error:.{places}f}"
    return f"({text})e{exponent:+03d}" if exponent else text
