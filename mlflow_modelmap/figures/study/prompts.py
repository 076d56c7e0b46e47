"""Figures: what prompts do to models - how far, which way, and whether shifts add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL, kl_interval, lengths
from mlflow_modelmap.figures.scales import from_zero

_MOST_ROWS = 60
_LONGEST = 36


def shifts_figure(shifts: pd.DataFrame) -> Figure:
    """KL of each prompt's shift, a row a prompt and a mark a model, with 95 % intervals.

    Parameters
    ----------
    shifts
        Columns ``model``, ``prompt``, ``kl``, ``se``.
    """
    prompts = list(dict.fromkeys(shifts["prompt"]))[:_MOST_ROWS]
    models = style.groups(shifts["model"])
    colours, markers = style.colours(models), style.markers(models)
    figure = style.figure(7.6, max(2.6, 1.6 + (0.22 + 0.09 * len(models)) * len(prompts)))
    axes = style.panel(figure)
    gap = 0.7 / max(len(models), 1)
    ends: list[float] = []
    for number, model in enumerate(models):
        rows = shifts[(shifts["model"] == model) & shifts["prompt"].isin(prompts)]
        heights = [prompts.index(p) + (number + 0.5) * gap - 0.35 for p in rows["prompt"]]
        interval = kl_interval(rows["kl"], rows["se"])
        ends += list(interval[1])
        axes.errorbar(
            rows["kl"],
            heights,
            xerr=lengths(rows["kl"], interval),
            linestyle="",
            marker=markers[model],
            markersize=5,
            color=colours[model],
            elinewidth=1.0,
            capsize=2,
        )
    _rows(axes, prompts)
    cut = from_zero(axes, shifts["kl"], ends)
    axes.set_xlabel(f"{style.KL_LABEL} from the reference prompt (line: {INTERVAL})")
    headline(
        figure,
        "How far does each prompt move a model?",
        f"{_first(shifts['prompt'].nunique())} {cut}".strip(),
    )
    style.legend(axes, colours, markers=markers, title="model")
    return figure


def directions_figure(
    shifts: pd.DataFrame, vectors: np.ndarray, added: pd.DataFrame, sums: np.ndarray
) -> Figure:
    """The shifts as arrows from one origin, in the plane that holds most of their squared length.

    Parameters
    ----------
    shifts
        Columns ``model``, ``prompt``.
    vectors
        Shape (rows, texts), in the coordinates of a map.
    added, sums
        Composite prompts: ``model`` and ``prompt``, and the sum of their parts' shifts, shape
        (composites, texts).
    """
    _, sizes, axes_of = np.linalg.svd(vectors, full_matrices=False)
    where = _plane(vectors, axes_of)
    shares = np.zeros(2)
    total = (sizes**2).sum()
    if total > 0:
        found = (sizes[:2] ** 2) / total
        shares[: found.size] = found
    figure = style.figure(7.6, 5.6)
    axes = style.panel(figure)
    headline(
        figure, "Do prompts push models the same way? Arrows side by side do, from the reference"
    )
    colours = style.colours(shifts["prompt"])
    models = style.groups(shifts["model"])
    markers = dict(zip(models, style.MARKERS * (len(models) // 10 + 1), strict=False))
    for (x, y), model, prompt in zip(where, shifts["model"], shifts["prompt"], strict=True):
        colour = style.colour_of(prompt, colours)
        axes.plot([0, x], [0, y], color=colour, lw=1.2, alpha=0.8)
        axes.plot([x], [y], color=colour, marker=markers[str(model)], markersize=7)
    for (x, y), model, prompt in zip(
        _plane(sums, axes_of), added["model"], added["prompt"], strict=True
    ):
        colour = style.colour_of(prompt, colours)
        axes.plot([0, x], [0, y], color=colour, lw=1.0, ls=":")
        axes.plot(
            [x],
            [y],
            marker=markers[str(model)],
            markersize=8,
            markerfacecolor="white",
            markeredgecolor=colour,
            linestyle="",
        )
    axes.axhline(0, color=style.GRID, lw=0.8, zorder=0)
    axes.axvline(0, color=style.GRID, lw=0.8, zorder=0)
    axes.set_aspect("equal", adjustable="datalim")
    for name, share in (("x", shares[0]), ("y", shares[1])):
        which = "first" if name == "x" else "second"
        label = f"{which} direction\n({style.percent(share)} of squared lengths, {style.ROOT})"
        axes.set(**{f"{name}label": label})
    handles = [
        Line2D([], [], color=style.OTHERS, marker=markers[m], ls="", label=style.plain(m, 28))
        for m in models[:10]
    ]
    if len(added):
        handles.append(
            Line2D(
                [],
                [],
                color=style.OTHERS,
                marker="o",
                markerfacecolor="white",
                ls=":",
                label="sum of a composite's parts",
            )
        )
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    style.legend(axes, colours, title="prompt")
    return figure


def _plane(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Places on the first two of `axes`, shape (rows, 2)."""
    where = np.zeros((len(vectors), 2))
    found = vectors @ axes[:2].T
    where[:, : found.shape[1]] = found
    return where


def cosines_figure(shifts: pd.DataFrame, cosines: pd.DataFrame) -> Figure:
    """Cosine similarity of every two shifts, prompt by prompt.

    Parameters
    ----------
    shifts, cosines
        As in `drivers.study.prompts.PromptsStudy`; beyond 60 shifts the first 60 are drawn.
    """
    count = len(shifts)
    square = np.eye(count)
    square[np.triu_indices(count, 1)] = cosines["cosine"]
    square = np.triu(square) + np.triu(square, 1).T
    shown = min(count, _MOST_ROWS)
    square = square[:shown, :shown]
    several = shifts["model"].nunique() > 1
    labels = [
        style.plain(f"{r.prompt} · {r.model}" if several else r.prompt, _LONGEST)
        for r in shifts.head(shown).itertuples()
    ]
    side = max(3.2, 1.0 + 0.34 * shown)
    figure = style.figure(side + 5.2, side + 0.9)
    axes = style.panel(figure)
    axes.grid(False)
    headline(
        figure,
        "Which shifts go the same way? 1: the same, 0: unrelated, -1: the opposite",
        _first(count, "shifts"),
    )
    axes.set_xlabel("number of the shift, as at the left")
    axes.set_ylabel("prompt" + (" and model" if several else "") + ", with its number")
    image = axes.imshow(square, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_yticks(range(shown), labels)
    axes.set_xticks(range(shown), [str(k + 1) for k in range(shown)])
    axes.set_yticklabels([f"{label}  {k + 1}" for k, label in enumerate(labels)])
    if shown <= 16:
        for (row, column), value in np.ndenumerate(square):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 else style.INK
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink
                )
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("cosine similarity of the shifts (no unit)")
    return figure


def additivity_figure(added: pd.DataFrame) -> Figure:
    """What the sum of its parts' shifts leaves unexplained of each composite prompt, 95 %.

    Parameters
    ----------
    added
        As in `drivers.study.prompts.PromptsStudy`.
    """
    shown = added.head(_MOST_ROWS)
    several = added["model"].nunique() > 1
    labels = [f"{r.prompt} · {r.model}" if several else r.prompt for r in shown.itertuples()]
    figure = style.figure(7.6, max(2.8, 1.9 + 0.42 * len(shown)))
    axes = style.panel(figure)
    headline(figure, "Do the shifts of a prompt's parts add up to that of the whole?")
    heights = np.arange(len(shown))
    for column, colour, marker, offset in (
        ("unexplained", style.PALETTE[0], "o", -0.12),
        ("unexplained_by_one", style.OTHERS, "s", 0.12),
    ):
        values = shown[column].to_numpy(float)
        ends = kl_interval(values, shown[f"{column}_se"])
        axes.errorbar(
            values,
            heights + offset,
            xerr=lengths(values, ends),
            linestyle="",
            marker=marker,
            color=colour,
            elinewidth=1.2,
            capsize=2,
        )
    axes.axvline(1.0, color=style.QUIET_INK, lw=0.9, ls="--")
    _rows(axes, labels)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"unexplained share of the shift's KL (no unit; line: {INTERVAL})")
    handles = [
        Line2D([], [], color=style.PALETTE[0], marker="o", label="sum of the parts' shifts"),
        Line2D([], [], color=style.OTHERS, marker="s", label="best part alone"),
        Line2D([], [], color=style.QUIET_INK, lw=0.9, ls="--", label="no shift at all"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    return figure


def _first(count: int, what: str = "prompts") -> str:
    """That only the first are drawn, where there are more."""
    return "" if count <= _MOST_ROWS else f"The first {_MOST_ROWS} of {count:,} {what}."


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), [style.plain(label, _LONGEST) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(False, axis="y")
