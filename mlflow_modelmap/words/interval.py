"""Words: a confidence interval, as a line of text has it."""

from __future__ import annotations

import math


def interval_words(low: float, high: float) -> str:
    """``95 % interval 0.09 to 0.13``, or that there is none from so few texts (NaN)."""
    if math.isnan(low) or math.isnan(high):
        return "no interval from so few texts"
    return f"95 % interval {low:.3g} to {high:.3g}"
