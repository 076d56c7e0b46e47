"""Numerics: any KL divergence read out in words, on one's own scale and the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.how_sharp import known_within
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup
from mlflow_modelmap.numerics.scale.paper_scale import OF_SET_UP, PAPER_SCALE
from mlflow_modelmap.words.texts_or_responses import TEXTS, one

_RULER = tuple(row for row in PAPER_SCALE if row.group not in OF_SET_UP)

_BY_GROUP = {row.group: row for row in _RULER}

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

_FIRST = ("Later", "Early", "Seed", "FT", "Random")

_SECOND = ("FT", "Random", "Early")

_COMPARABLE = (0.007, 100.0)
"""A KL that is further off than that is not told as so many times the other."""

_BITS_IN_A_BYTE = 8.0


def in_words(
    kl: float, se: float | None = None, own: Sequence[OwnGroup] = (), *, unit: str = TEXTS
) -> str:
    """Say how large a KL divergence is, by the medians of the paper's settings (Table 2a).

    The paper's 8-bit and 4-bit copies are no yardstick: see `paper_scale.SET_UP_NOTE`.

    Parameters
    ----------
    kl
        Bits per byte.
    se
        Its standard error, NaN where it is unknown. Above a quarter of the KL, "about" becomes
        "roughly"; above half of it, the text ends with how sharply the size is known.
    own
        Groups of one's own scale on the same texts, which come first.
    unit
        What the texts are called.

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
    'about the difference between two random seeds of Pythia; a quarter of the effect of \
fine-tuning'
    >>> in_words(0.1, own=[OwnGroup(0.11, "your nf4 copies are from their originals")])
    'about as far as your nf4 copies are from their originals; the difference between two random \
seeds of Pythia'
    """
    if not np.isfinite(kl) or kl < 0:
        raise InputError(
            f"A KL divergence of {kl} cannot be read out; it is finite, and 0 or more."
        )
    if se is not None and se < 0:
        raise InputError(f"A standard error of {se} is not possible; it is 0 or more.")
    if kl == 0:
        return f"no difference at all: on every {one(unit)} the two agree, up to one constant"
    plain = _plain(kl, "about" if se is None or se <= kl / 4 else "roughly", own)
    if se is not None and se > kl / 2:
        return f"{plain}; its size is {known_within(kl, se, unit=unit)}"
    return plain


def _plain(kl: float, about: str, own: Sequence[OwnGroup]) -> str:
    nearest = min(_RULER, key=lambda row: abs(np.log(kl / row.median)))
    if not 1 / _SAME <= kl / nearest.median <= _SAME:
        nearest = min((_BY_GROUP[g] for g in _FIRST), key=lambda r: abs(np.log(kl / r.median)))
    paper = f"{_multiple(kl / nearest.median)}{nearest.phrase}"
    ours = _on_own_scale(kl, own)
    first = ours or paper
    if not first.startswith(("less", "more")):
        first = f"{about} {first}"
    if kl > _BITS_IN_A_BYTE:
        return f"{first}; more than the 8 bits that a byte holds"
    if ours:
        return f"{first}; {paper}"
    for row in (_BY_GROUP[group] for group in _SECOND):
        ratio = kl / row.median
        low, high = _COMPARABLE
        if row is not nearest and low < ratio < high and not 1 / _OTHER < ratio < _OTHER:
            return f"{first}; {_times(ratio)}{row.phrase}"
    return first


def _on_own_scale(kl: float, own: Sequence[OwnGroup]) -> str | None:
    """By the nearest of one's own medians: "twice as far as ..."; None where none is comparable."""
    low, high = _COMPARABLE
    near = [group for group in own if group.median > 0 and low < kl / group.median < high]
    if not near:
        return None
    group = min(near, key=lambda of: abs(np.log(kl / of.median)))
    multiple = _multiple(kl / group.median).removesuffix("of ")
    return f"{multiple}as far as {group.far}"


def _multiple(ratio: float) -> str:
    """A ratio as words, none where it is about 1."""
    return "" if 1 / _SAME <= ratio <= _SAME else _times(ratio)


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
