"""Figures: oscillation of the late part of trajectories, as autocorrelation (Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.headline import headline
from mlflow_modelmap.figures.panels import Panels
from mlflow_modelmap.figures.trajectory.embedding_3d import MOST_PANELS
from mlflow_modelmap.numerics.trajectory.oscillation import Autocorrelation


def autocorrelation_figure(found: Mapping[str, Mapping[float, Autocorrelation]]) -> Figure:
    """Autocorrelation of PC3 of the late part for several perplexities (Figure 7).

    Grey is where 95 % of the values of white noise lie, at each lag.

    Parameters
    ----------
    found
        For each trajectory, by perplexity.
    """
    shown = list(found)[:MOST_PANELS]
    perplexities = sorted({p for by in found.values() for p in by})
    shade = [style.PALETTE[k % len(style.PALETTE)] for k in range(len(perplexities))]
    panels = Panels(shown, (3.9, 3.5), (0.3, 0.7))
    for position, name in panels:
        axes = panels.axes(position, title=style.short(name))
        for k, perplexity in enumerate(perplexities):
            own = found[name].get(perplexity)
            if own is None:
                continue
            period = "no period" if own.period is None else f"period {style.step(own.period)}"
            axes.plot(
                own.lags, own.values, color=shade[k], lw=1.1, label=f"{perplexity:g}: {period}"
            )
            if own.period is not None:
                at = int(np.flatnonzero(own.lags == own.period)[0])
                axes.plot(own.period, own.values[at], "o", color=shade[k], ms=4)
        band = next(iter(found[name].values()))
        axes.fill_between(
            band.lags[1:],
            band.low[1:],
            band.high[1:],
            color=style.GRID,
            lw=0,
            zorder=0.5,
            label="95 % of white noise",
        )
        axes.axhline(0, color=style.QUIET_INK, linewidth=0.7)
        style.steps_axis(axes)
        axes.set_xlabel("lag (training steps)")
        axes.set_ylabel("autocorrelation (no unit)")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.legend(
            frameon=False,
            fontsize=7,
            title="perplexity",
            title_fontsize=7,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.24),
            ncols=2,
        )
    engine = panels.figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.14)  # type: ignore[call-arg]
    headline(
        panels.figure,
        "Does the end of training oscillate? Then a line peaks above the grey band",
        "Autocorrelation of the third principal component of the late part of a t-SNE.",
    )
    return panels.figure
