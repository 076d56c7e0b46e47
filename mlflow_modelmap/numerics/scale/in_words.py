"""Numerics: any KL divergence read out in words, on the paper's scale."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.how_sharp import known_within
from mlflow_modelmap.numerics.scale.paper_scale import PAPER_SCALE

_BY_GROUP = {row.group: row for row in PAPER_SCALE}

_MULTIPLES = (
    (1 / 100, "a hundredth of "),
    (1 / 50, "a fiftieth of "),
    (1 / 30, "a thirtieth of "),
    (1 / 20, "a twentieth of "),
    (1 / 15, "a fifteenth of "),
    (1 / 12, "a twelfth of "),
    (1 / 10, "a tenth of "),
    (1 / 9, "a ninth of "),
    (1 / 8, "an eighth of "),
    (1 / 7, "a seventh of "),
    (1 / 6, "a sixth of "),
    (1 / 5, "a fifth of "),
    (1 / 4, "a quarter of "),
    (1 / 3, "a third of "),
    (1 / 2, "half "),
    (2 / 3, "two thirds of "),
    (3 / 4, "three quarters of "),
    (1.0, ""),
    (1.5, "one and a half times "),
    (2.0, "twice "),
    (2.5, "two and a half times "),
    (3.0, "three times "),
    (4.0, "four times "),
    (5.0, "five times "),
    (6.0, "six times "),
    (7.0, "seven times "),
    (8.0, "eight times "),
    (9.0, "nine times "),
    (10.0, "ten times "),
)

_RARE = (
    (1e-9, "less than a billionth of "),
    (1e-6, "less than a millionth of "),
    (1e-3, "less than a thousandth of "),
    (7e-3, "less than a hundredth of "),
)

_SAME = 1.22

_OTHER = 1.6

_FIRST = ("Later", "Early", "Seed", "8-bit", "Random")

_SECOND = ("8-bit", "Random", "Early")

_BITS_IN_A_BYTE = 8.0


def in_words(kl: float, se: float | None = None) -> str:
    """Say how large a KL divergence is, by the medians of the paper's settings (Table 2a).

    Parameters
    ----------
    kl
        Bits per byte.
    se
        Its standard error, NaN where it is unknown. Above a quarter of the KL, "about" becomes
        "roughly"; above half of it, the text ends with how sharply the size is known.

    Returns
    -------
    str
        A phrase that can follow a colon, without a full stop.

    Raises
    ------
    InputError
        If either is negative or `kl` is not finite.

    Examples
    --------
    >>> in_words(0.1)
    'about the difference between two random seeds of Pythia; a quarter of the effect of 8-bit \
quantisation'
    """
    if not np.isfinite(kl) or kl < 0:
        raise InputError(
            f"A KL divergence of {kl} cannot be read out; it is finite, and 0 or more."
        )
    if se is not None and se < 0:
        raise InputError(f"A standard error of {se} is not possible; it is 0 or more.")
    if kl == 0:
        return "no difference at all: on every text the two agree, up to one constant"
    plain = _plain(kl, "about" if se is None or se <= kl / 4 else "roughly")
    if se is not None and se > kl / 2:
        return f"{plain}; its size is {known_within(kl, se)}"
    return plain


def _plain(kl: float, about: str) -> str:
    nearest = min(PAPER_SCALE, key=lambda row: abs(np.log(kl / row.median)))
    if not 1 / _SAME <= kl / nearest.median <= _SAME:
        nearest = min((_BY_GROUP[g] for g in _FIRST), key=lambda r: abs(np.log(kl / r.median)))
    ratio = kl / nearest.median
    multiple = "" if 1 / _SAME <= ratio <= _SAME else _times(ratio)
    first = f"{multiple}{nearest.phrase}"
    if not multiple.startswith(("less", "more")):
        first = f"{about} {first}"
    if kl > _BITS_IN_A_BYTE:
        return f"{first}; more than the 8 bits that a byte holds"
    for row in (_BY_GROUP[group] for group in _SECOND):
        ratio = kl / row.median
        if row is not nearest and 0.007 < ratio < 100 and not 1 / _OTHER < ratio < _OTHER:
            return f"{first}; {_times(ratio)}{row.phrase}"
    return first


def _times(ratio: float) -> str:
    """A ratio as words that a noun phrase can follow."""
    for bound, words in _RARE:
        if ratio < bound:
            return words
    if ratio <= 12.5:
        return min(_MULTIPLES, key=lambda entry: abs(np.log(ratio / entry[0])))[1]
    if ratio > 1e6:
        return "more than a million times "
    rounded = float(f"{ratio:.1g}") if ratio >= 30 else 5 * round(ratio / 5)
    return f"{rounded:,.0f} times "
