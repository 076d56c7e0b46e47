"""Numerics: the tables that diffusion exponents are read from (paper, Tables 1 and 4)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlflow_modelmap.numerics.diffusion.hoelder_and_dimension import (
    Interval,
    effective_dimension,
    ratio,
)

Q, W, EXP_Q = "q", "w", "exp_q"

_OF_FIT = {
    "lack_of_fit": "lack_of_fit_{}",
    "offset": "offset_{}",
    "exponent_with_offset": "c_{}_with_offset",
}


def hoelder_table(diffusion: pd.DataFrame) -> pd.DataFrame:
    """alpha = c_q / c_w wherever both were estimated, with its interval.

    Parameters
    ----------
    diffusion
        Columns ``trajectory``, ``space``, ``t0``, ``exponent``, ``low``, ``high``.

    Returns
    -------
    DataFrame
        Columns ``trajectory``, ``t0``, ``alpha``, ``low``, ``high``; windows in which the weights
        do not move apart (c_w of 0 or less) are left out.
    """
    q = diffusion[diffusion["space"] == Q]
    w = diffusion[(diffusion["space"] == W) & (diffusion["exponent"] > 0)]
    both = q.merge(w, on=["trajectory", "t0"], suffixes=("_q", "_w"))
    rows = [
        (
            r.trajectory,
            r.t0,
            *ratio(
                Interval(r.exponent_q, r.low_q, r.high_q), Interval(r.exponent_w, r.low_w, r.high_w)
            ),
        )
        for r in both.itertuples()
    ]
    return pd.DataFrame(rows, columns=["trajectory", "t0", "alpha", "low", "high"])


def summary_table(diffusion: pd.DataFrame, start: int | None = None) -> pd.DataFrame:
    """One row a trajectory: its exponents at one t0, and R^2 over all (Tables 1 and 4).

    Parameters
    ----------
    diffusion
        Columns ``trajectory``, ``space`` (q, w, exp_q), ``t0``, ``exponent``, ``low``, ``high``,
        ``r2``; ``lack_of_fit``, ``offset`` and ``exponent_with_offset`` where they were estimated.
    start
        Which t0; the last one that a trajectory has in q, if None or if it has not that one.

    Returns
    -------
    DataFrame
        Columns ``trajectory``, ``t0``; for each space s ``c_s``, ``c_s_low``, ``c_s_high``;
        ``alpha``, ``alpha_low``, ``alpha_high``; ``difference`` = c_exp_q - c_q;
        ``dimension_q``, ``dimension_w`` = 2 / c, each with ``_low`` and ``_high``; for q and w
        ``lack_of_fit_s``, ``offset_s`` and ``c_s_with_offset``; ``r2_q_mean``, ``r2_q_sd``,
        ``r2_w_mean``, ``r2_w_sd`` and ``windows`` over all t0. What cannot be had is NaN.
    """
    alphas = hoelder_table(diffusion).set_index(["trajectory", "t0"])
    rows = []
    for name, own in diffusion.groupby("trajectory", sort=False):
        in_q = own[own["space"] == Q]
        if in_q.empty:
            continue
        t0 = start if start in set(in_q["t0"]) else int(in_q["t0"].max())
        row: dict[str, object] = {"trajectory": name, "t0": t0}
        found = own[own["t0"] == t0].set_index("space")
        for space in (W, Q, EXP_Q):
            ends = ("exponent", "low", "high")
            values = found.loc[space, list(ends)] if space in found.index else [np.nan] * 3
            row |= dict(
                zip((f"c_{space}", f"c_{space}_low", f"c_{space}_high"), values, strict=True)
            )
        alpha = alphas.loc[(name, t0)] if (name, t0) in alphas.index else [np.nan] * 3
        row |= dict(zip(("alpha", "alpha_low", "alpha_high"), alpha, strict=True))
        row["difference"] = row[f"c_{EXP_Q}"] - row[f"c_{Q}"]  # type: ignore[operator]
        for space in (Q, W):
            c = Interval(*(float(row[f"c_{space}{end}"]) for end in ("", "_low", "_high")))  # type: ignore[arg-type]
            dimension = effective_dimension(c) if c.value > 0 else Interval(np.nan, np.nan, np.nan)
            ends = (f"dimension_{space}", f"dimension_{space}_low", f"dimension_{space}_high")
            row |= dict(zip(ends, dimension, strict=True))
        for space in (Q, W):
            for column, name in _OF_FIT.items():
                there = space in found.index and column in found
                row[name.format(space)] = found.at[space, column] if there else np.nan
        for space in (Q, W):
            r2 = own.loc[own["space"] == space, "r2"]
            row[f"r2_{space}_mean"] = r2.mean()
            row[f"r2_{space}_sd"] = r2.std(ddof=0)
        row["windows"] = len(in_q)
        rows.append(row)
    return pd.DataFrame(rows)
