"""Figures: what a gate measured, with its interval, beside the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.numerics.gate.verdict import (
    EXACT,
    FAIL,
    INCREASE,
    KL,
    PASS,
    UNDECIDED,
    LimitDecision,
)
from mlflow_modelmap.words.value_and_error import with_error

_COLOURS = {PASS: "#117733", FAIL: "#b2182b", UNDECIDED: "#8c6d31"}
_ROOM = 2.5
_NAMES = {
    KL: "KL divergence",
    EXACT: "Exact KL(reference || candidate)",
    INCREASE: "Increase of bits per byte",
}
_UNITS = {
    KL: style.KL_LABEL,
    EXACT: f"exact {style.KL_LABEL}",
    INCREASE: "increase (bits per byte)",
}


def gate_figure(
    limits: Sequence[LimitDecision],
    confidence: float,
    *,
    bits_per_byte: tuple[float, float] | None = None,
    difference: tuple[float, float] | None = None,
) -> Figure:
    """A row a limit: what is allowed shaded, the measured value as a dot with its interval.

    Parameters
    ----------
    limits
        One or more, from `numerics.gate.verdict`.
    confidence
        Of the intervals, for the title.
    bits_per_byte
        Of the candidate and of the reference, written below.
    difference
        Of the two, with its standard error.
    """
    figure = style.figure(7.4, 1.2 + 1.35 * len(limits))
    said = ""
    if bits_per_byte is not None and difference is not None:
        candidate, reference = bits_per_byte
        said = (
            f" Bits per byte: candidate {candidate:.4g}, reference {reference:.4g}, "
            f"difference {with_error(*difference)} (standard error)."
        )
    headline(
        figure,
        "Does the candidate stay within its limits?",
        f"Green: allowed; bar: {100 * confidence:.4g} % interval; black line: the limit.{said}",
    )
    for row, limit in enumerate(limits):
        axes = style.panel(figure, len(limits), 1, row + 1)
        _draw(axes, limit)
        what = _NAMES[limit.quantity]
        axes.set_title(
            f"{what}: {limit.verdict} ({_interval(limit, confidence)}, limit {limit.limit:g})",
            loc="left",
            fontsize=10,
            color=_COLOURS[limit.verdict],
        )
    return figure


def _interval(limit: LimitDecision, confidence: float) -> str:
    known = not (np.isnan(limit.low) or np.isnan(limit.high))
    return f"{100 * confidence:.4g} % interval" if known else "no interval from so few texts"


def _draw(axes: Axes, limit: LimitDecision) -> None:
    colour = _COLOURS[limit.verdict]
    ends = [] if np.isnan(limit.low) or np.isnan(limit.high) else [limit.low, limit.high]
    shown = [*ends, limit.value, limit.limit]
    logarithmic = limit.quantity == KL and min(shown) > 0 and bool(np.isfinite(shown).all())
    if logarithmic:
        left, right = min(shown) / _ROOM, max(shown) * _ROOM
        axes.set_xscale("log")
        if right < 1000 * left:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        finite = [value for value in (*shown, 0.0) if np.isfinite(value)]
        room = 0.15 * (max(finite) - min(finite)) or 0.1
        left, right = min(finite) - room, max(finite) + room
        if limit.quantity == KL:
            left = max(left, -room / 4)
    axes.set_xlim(left, right)
    axes.axvspan(left, min(limit.limit, right), color="#117733", alpha=0.08, linewidth=0)
    axes.axvline(limit.limit, color=style.INK, linewidth=1.4)
    if ends:
        axes.plot([limit.low, min(limit.high, right)], [0, 0], color=colour, linewidth=3)
    axes.plot([limit.value], [0], "o", color=colour, markersize=8)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(_UNITS[limit.quantity])
