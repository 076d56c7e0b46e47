"""Figures: the one look that all pictures share - sizes, colours, units, scales, legends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from mlflow_modelmap.words.natural_order import natural

KL_LABEL = "KL divergence (bits/byte)"
BITS_PER_BYTE_LABEL = "bits per byte"
ROOT = "√(bits/byte)"
"""The unit of a map's coordinates: squared distances are KL divergences."""
NOT_GIVEN = "not given"
"""What grey stands for in a legend, as on the page."""
STEP_LABEL = "training step"

INK = "#222222"
QUIET_INK = "#6b6b6b"
GRID = "#e4e4e4"
OTHERS = "#9a9a9a"
"""The colour of what belongs to no group."""

# Okabe and Ito's colours without yellow and black, then Tol's that stay apart from them.
PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#882255",
    "#6a51a3",
    "#8c6d31",
    "#117733",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
SEQUENTIAL = "viridis"

_TEXT_SIZE = 9
_LEGEND_ROW = 11.5
"""Points from one row of a legend to the next."""
_NO_GROUP = ("", "none", "nan", "<na>")


def figure(width: float = 7.0, height: float = 4.5) -> Figure:
    """An empty figure of `width` x `height` inches whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def panel(figure: Figure, *position: Any, title: str | None = None, **options: Any) -> Axes:
    """Axes of `figure` in the common style: a pale grid behind, no box, small left title."""
    axes = figure.add_subplot(*position, **options)
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET_INK)
    axes.tick_params(labelsize=_TEXT_SIZE, colors=INK, width=0.6)
    axes.xaxis.label.set_size(_TEXT_SIZE + 1)
    axes.yaxis.label.set_size(_TEXT_SIZE + 1)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=_TEXT_SIZE + 2, color=INK)
    return axes


def plain(text: object, longest: int | None = None) -> str:
    """Any name as matplotlib draws it letter by letter: no math mode, one line, not too long."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return (line if longest is None else short(line, longest)).replace("$", r"\$")


def short(name: str, longest: int = 26) -> str:
    """A name that fits above a panel; its middle is left out where it is long."""
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[len(name) - (longest - 1 - head) :]}"


def groups(labels: Iterable[Any]) -> list[str]:
    """The distinct labels as text, sorted as people count (410m before 1b is up to the names);
    missing ones are left out."""
    found = {str(label) for label in labels if is_group(label)}
    return sorted(found, key=natural)


def tsne_axis(number: int) -> str:
    """The name of an axis of a t-SNE, whose lengths have no unit."""
    return f"t-SNE axis {number} (no unit)"


def component_axis(number: int, share: float | None = None) -> str:
    """The name of a principal component's axis, with its share of the variance."""
    said = "" if share is None else f"{percent(share)} of variance, "
    return f"principal component {number}\n({said}{ROOT})"


def embedded_axis(number: int, by_tsne: bool) -> str:
    """The name of a map's axis; of few points the axes are principal components."""
    return tsne_axis(number) if by_tsne else component_axis(number)


def is_group(label: Any) -> bool:
    """Whether a label names a group (and is not missing)."""
    return label is not None and str(label).strip().lower() not in _NO_GROUP


def colours(labels: Iterable[Any]) -> dict[str, str]:
    """A colour for each distinct label, the same for the same set of labels; see `colour_of`.

    The first ten are safe for colour-blind readers; from the eleventh on they come again darker,
    then lighter, each time with another marker (`markers`).
    """
    return {name: _cycled(k) for k, name in enumerate(groups(labels))}


def _cycled(index: int) -> str:
    colour = np.array(to_rgb(PALETTE[index % len(PALETTE)]))
    turn = (index // len(PALETTE)) % 3
    return to_hex(colour if turn == 0 else 0.55 * colour if turn == 1 else 0.5 + 0.5 * colour)  # type: ignore[arg-type]


def markers(labels: Iterable[Any]) -> dict[str, str]:
    """A marker for each distinct label; it changes where the colours begin again."""
    return {
        name: MARKERS[(k // len(PALETTE)) % len(MARKERS)] for k, name in enumerate(groups(labels))
    }


def colour_of(label: Any, colours: dict[str, str]) -> str:
    """The colour of a label; grey for what belongs to no group."""
    return colours.get(str(label), OTHERS) if is_group(label) else OTHERS


def fade(colour: str, shares: float | Sequence[float] | np.ndarray) -> Any:
    """Blend a colour towards white: share 0 is the palest (earliest), 1 the full colour.

    Returns
    -------
    str, or list of str where `shares` is a sequence
        Hexadecimal colours.
    """
    if np.ndim(shares) == 0:
        return _faded(colour, float(np.clip(shares, 0.0, 1.0)))  # type: ignore[arg-type]
    return [fade(colour, float(share)) for share in np.asarray(shares)]


@lru_cache(maxsize=10_000)
def _faded(colour: str, share: float) -> str:
    full = np.array(to_rgb(colour))
    return to_hex(1.0 - (1.0 - full) * (0.22 + 0.78 * share))  # type: ignore[arg-type]


def number(value: float, digits: int = 2) -> str:
    """A number for people: two significant digits, no exponent between 0.001 and 99,999."""
    if value == 0 or not np.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    if size < 1e-3 or size >= 99_999.5:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(size))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ordinal(count: int) -> str:
    """2nd, 3rd, 4th, ..., 21st."""
    teens = 10 <= count % 100 < 20
    return f"{count}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


def percent(share: float) -> str:
    """A share as percent, with two significant digits."""
    return f"{number(100.0 * share)} %"


def steps_axis(axes: Axes, which: Literal["x", "y"] = "x") -> None:
    """Write training steps as 512, 1k, 143k, nothing at a part of one, and name the axis."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: step(value) if abs(value - round(value)) < 1e-6 else "")
    )
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(STEP_LABEL)


def step(value: float) -> str:
    """A training step as people write it: 512, 1k, 143k, 1.5M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def legend(
    target: Axes | Figure,
    colours: dict[str, str],
    *,
    markers: dict[str, str] | None = None,
    title: str | None = None,
    lines: bool = False,
    most: int = 30,
    labels: Iterable[Any] = (),
    grey: str = NOT_GIVEN,
    longest: int = 34,
) -> Any:
    """A legend right of the axes or figure, where it covers nothing.

    Beyond `most`, or what there is room for, it says how many more groups there are; where some of
    `labels` name no group it says what is `grey`.
    """
    names = list(colours)
    root = target if isinstance(target, Figure) else target.get_figure(root=True)
    assert root is not None
    most = max(3, min(most, int((root.get_size_inches()[1] - 1.1) * 72.0 / _LEGEND_ROW)))
    shown = names if len(names) <= most else names[: most - 1]
    handles = [
        Line2D(
            [],
            [],
            color=colours[name],
            marker=(markers or {}).get(name, "o"),
            linestyle="-" if lines else "",
            markersize=5,
            linewidth=1.4,
            label=plain(name, longest),
        )
        for name in shown
    ]
    if len(shown) < len(names):
        rest = len(names) - len(shown)
        handles.append(Line2D([], [], linestyle="", label=f"and {rest} more"))
    if not handles:
        return None
    if not all(map(is_group, labels)):
        handles.append(
            Line2D([], [], linestyle="", marker="o", markersize=5, color=OTHERS, label=grey)
        )
    options: dict[str, Any] = (
        {"loc": "outside right center"}
        if isinstance(target, Figure)
        else {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    )
    return target.legend(
        handles=handles,
        title=plain(title) if title else None,
        alignment="left",
        frameon=False,
        fontsize=_TEXT_SIZE - 1,
        title_fontsize=_TEXT_SIZE,
        handletextpad=0.4,
        labelspacing=0.35,
        **options,
    )
