"""Figures: axes of logarithms, with plain numbers, and with 0 where there is one."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    SymmetricalLogLocator,
)
from numpy.typing import ArrayLike

from mlflow_modelmap.figures.style import QUIET_INK, number

Which = Literal["x", "y"]

LINEAR_TO = 0.1
"""Below this many bits/byte a symlog axis is linear (as in the paper's Figure 3)."""
_BELOW = 0.12
"""How far a symlog axis reaches below 0, in linear parts, so that what is 0 is seen whole."""
_WIDE = 20.0


def symlog(axes: Axes, which: Which = "y", linear_to: float = LINEAR_TO) -> None:
    """Make an axis linear up to `linear_to` and logarithmic beyond, with plain numbers."""
    scale = {"linthresh": linear_to, "linscale": 0.6}
    (axes.set_xscale if which == "x" else axes.set_yscale)("symlog", **scale)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(SymmetricalLogLocator(linthresh=linear_to, base=10))
    axis.set_major_formatter(FuncFormatter(lambda value, _: "" if value < 0 else number(value)))
    axis.set_minor_locator(
        SymmetricalLogLocator(linthresh=linear_to, base=10, subs=[2, 3, 4, 5, 6, 7, 8, 9])
    )
    axis.set_minor_formatter(NullFormatter())


def show_zero(axes: Axes, which: Which = "y", linear_to: float = LINEAR_TO) -> None:
    """Let a symlog axis begin a little below 0, which a line marks; call it after the data."""
    line: dict[str, Any] = {"color": QUIET_INK, "linewidth": 0.7, "zorder": 0.9}
    if which == "x":
        axes.set_xlim(left=-_BELOW * linear_to)
        axes.axvline(0.0, **line)
    else:
        axes.set_ylim(bottom=-_BELOW * linear_to)
        axes.axhline(0.0, **line)


def log_axis(axes: Axes, which: Which = "y", values: ArrayLike = ()) -> None:
    """A logarithmic axis with plain numbers, also where it spans less than a decade.

    Call it when the data and limits are in place.

    Parameters
    ----------
    values
        What is drawn along it: where one is 0 the axis is linear from there to the power of ten
        below the least of the others, so that it is on the picture.
    """
    given = np.asarray(values, dtype=float)
    above = given[given > 0]
    if above.size and (given == 0).any():
        linear_to = float(10.0 ** np.floor(np.log10(above.min())))
        symlog(axes, which, linear_to)
        show_zero(axes, which, linear_to)
        return
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    span = high / max(low, 1e-300)
    if span < 8:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if span < 100 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


def from_zero(axes: Axes, values: ArrayLike, ends: ArrayLike = ()) -> str:
    """A horizontal axis of amounts from 0: symlog where the largest would hide the others.

    Parameters
    ----------
    values
        The amounts that are drawn.
    ends
        Upper ends of their intervals; one that reaches beyond twice all amounts is cut there.

    Returns
    -------
    str
        What is to be said of that below the picture, if anything.
    """
    amounts = np.asarray(values, dtype=float)
    amounts = amounts[np.isfinite(amounts)]
    largest = float(amounts.max(initial=0.0))
    reach = np.asarray(ends, dtype=float)
    farthest = float(reach.max(initial=largest))
    right = 1.06 * min(farthest, 2.0 * largest)
    typical = float(np.median(amounts[amounts > 0])) if (amounts > 0).any() else 0.0
    if largest > LINEAR_TO and largest > _WIDE * typical:
        symlog(axes, "x")
        show_zero(axes, "x")
        axes.set_xlim(right=1.2 * right)
    else:
        axes.set_xlim(0.0, right or 1.0)
    beyond = farthest > axes.get_xlim()[1]
    return "A line that reaches the right edge goes on beyond it." if beyond else ""
