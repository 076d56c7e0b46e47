"""Figures: what a gate measured, with its interval, beside the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mlflow_modelmap.figures import style
from mlflow_modelmap.numerics.gate.verdict import FAIL, KL, PASS, UNDECIDED, LimitDecision

_COLOURS = {PASS: "#117733", FAIL: "#b2182b", UNDECIDED: "#8c6d31"}
_ROOM = 2.5


def gate_figure(limits: Sequence[LimitDecision], confidence: float) -> Figure:
    """A row a limit: what is allowed shaded, the measured value as a dot with its interval.

    Parameters
    ----------
    limits
        One or more, from `numerics.gate.verdict`.
    confidence
        Of the intervals, for the title.
    """
    figure = style.figure(7.0, 0.7 + 1.35 * len(limits))
    for row, limit in enumerate(limits):
        axes = style.panel(figure, len(limits), 1, row + 1)
        _draw(axes, limit)
        what = "KL divergence" if limit.quantity == KL else "Increase of bits per byte"
        axes.set_title(
            f"{what}: {limit.verdict} ({100 * confidence:.4g} % interval, limit {limit.limit:g})",
            loc="left",
            fontsize=10,
            color=_COLOURS[limit.verdict],
        )
    return figure


def _draw(axes: Axes, limit: LimitDecision) -> None:
    colour = _COLOURS[limit.verdict]
    shown = [limit.low, limit.value, limit.high, limit.limit]
    logarithmic = limit.quantity == KL and min(shown) > 0 and np.isfinite(limit.high)
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
    axes.plot([limit.low, min(limit.high, right)], [0, 0], color=colour, linewidth=3)
    axes.plot([limit.value], [0], "o", color=colour, markersize=8)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(style.KL_LABEL if limit.quantity == KL else style.BITS_PER_BYTE_LABEL)
