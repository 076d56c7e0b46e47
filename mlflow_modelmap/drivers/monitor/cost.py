"""Driver: what recording a checkpoint costs, in words, and how often is cheap enough."""

from __future__ import annotations

import math

HIGHEST_SHARE = 0.05
"""Of the time, above which it is said how to make recording cheaper."""
LOW_SHARE = 0.01
"""Of the time, up to which it is said how much more often would still be cheap."""


def cost_in_words(record: float, training: float, steps: int) -> tuple[str, bool]:
    """What a record costs, and whether that is too much.

    Parameters
    ----------
    record, training
        Seconds that the record took, and the training since the record before.
    steps
        Steps of training since then.
    """
    share = record / max(record + training, 1e-9)
    said = f"A record takes {two_digits(record)} s, {two_digits(100 * share)} % of the time"
    if share > HIGHEST_SHARE:
        every = _steps_for(HIGHEST_SHARE, record, training / steps)
        return (
            f"{said}; recording every {every:,} steps keeps it below {100 * HIGHEST_SHARE:.0f} %, "
            "and so do fewer texts.",
            True,
        )
    often = _steps_for(LOW_SHARE, record, training / steps)
    if share <= LOW_SHARE and often < steps:
        more = "every step" if often == 1 else f"every {often:,} steps"
        return f"{said}; recording {more} would keep it below {100 * LOW_SHARE:.0f} %.", False
    return f"{said}.", False


def _steps_for(share: float, record: float, step: float) -> int:
    """Steps between two records of which recording is that share, to two digits, rounded up."""
    needed = record * (1 / share - 1) / max(step, 1e-9)
    digits = max(0, math.floor(math.log10(max(needed, 1.0))) - 1)
    return max(1, math.ceil(needed / 10**digits) * 10**digits)


def two_digits(value: float) -> str:
    """A number of 0 or more to two digits, without a power of ten where it is large: ``1,200``."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
