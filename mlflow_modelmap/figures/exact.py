"""Figures: how a token's exact KL divergence is spread, for several pairs of models."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.intervals import INTERVAL, exact_interval, lengths
from mlflow_modelmap.figures.scales import from_zero

_SMALLEST = 1e-8
_SIDE = 24
"""Characters of each of the two names of a pair."""
_SHARES = (100, 50, 10, 5, 1, 0.1, 0.01)


def token_kl_figure(percentiles: pd.DataFrame) -> Figure:
    """Share of tokens whose KL divergence is larger than a value, a line a pair of models.

    Parameters
    ----------
    percentiles
        Columns ``pair``, ``percent`` and ``kl`` (nats).
    """
    names = list(dict.fromkeys(percentiles["pair"]))
    figure = style.figure(8.8, 4.9)
    axes = style.panel(figure)
    colours = style.colours(names)
    for name in names:
        rows = percentiles[percentiles["pair"] == name].sort_values("percent")
        share = 100.0 - rows["percent"].to_numpy()
        kl = rows["kl"].to_numpy()
        shown = (share > 0) & (kl > _SMALLEST)
        if shown.any():
            axes.plot(kl[shown], share[shown], color=style.colour_of(name, colours), lw=1.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_yticks(_SHARES, [f"{share:g} %" for share in _SHARES])
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_ylim(0.008, 130)
    axes.set_xlabel("KL divergence of a token's next-token distributions (nats)")
    axes.set_ylabel("tokens above it (%)")
    headline(figure, "How many tokens differ strongly? Share of tokens above each KL divergence")
    _pairs(axes, names, colours)
    return figure


def by_domain_figure(by_domain: pd.DataFrame) -> Figure:
    """Exact KL of each domain with its 95 % interval, a colour a pair.

    Parameters
    ----------
    by_domain
        Columns ``pair``, ``domain``, ``forward`` and ``forward_se`` (bits/byte), and ``texts``
        where that is known.
    """
    names, domains = (list(dict.fromkeys(by_domain[key])) for key in ("pair", "domain"))
    figure = style.figure(8.8, max(2.6, 1.5 + (0.16 * len(names) + 0.14) * len(domains)))
    axes = style.panel(figure)
    colours = style.colours(names)
    thickness = 0.8 / max(len(names), 1)
    ends: list[float] = []
    for offset, name in enumerate(names):
        rows = by_domain[by_domain["pair"] == name].set_index("domain")
        there = [domain for domain in domains if domain in rows.index]
        heights = np.array([domains.index(d) for d in there]) + (offset + 0.5) * thickness - 0.4
        kl = rows.loc[there, "forward"].to_numpy(dtype=float)
        texts = rows.loc[there, "texts"] if "texts" in rows else None
        interval = exact_interval(kl, rows.loc[there, "forward_se"], texts)
        known = np.isfinite(rows.loc[there, "forward_se"].to_numpy(dtype=float))
        ends += list(interval[1])
        axes.barh(
            heights,
            kl,
            thickness * 0.92,
            xerr=np.where(known, lengths(kl, interval), np.nan),
            color=style.colour_of(name, colours),
            error_kw={"elinewidth": 0.9, "capsize": 2, "ecolor": style.INK},
        )
    axes.set_yticks(range(len(domains)), [style.plain(str(d), 34) for d in domains])
    axes.set_ylim(len(domains) - 0.4, -0.6)
    axes.grid(False, axis="y")
    cut = from_zero(axes, by_domain["forward"], ends)
    axes.set_xlabel(f"exact {style.KL_LABEL} (line: {INTERVAL})")
    headline(figure, "On which domains of the texts do the models differ?", cut)
    _pairs(axes, names, colours)
    return figure


def _pairs(axes: Axes, names: list[str], colours: dict[str, str]) -> None:
    named = {
        " || ".join(style.short(side, _SIDE) for side in str(name).split(" || ")): colours[
            str(name)
        ]
        for name in names
    }
    style.legend(axes, named, title="KL(A || B)", longest=2 * _SIDE + 4)
