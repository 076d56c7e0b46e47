"""Driver: whether the late part of trainings oscillates - PC3's autocorrelation (Figures 6b, 7)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.trajectory.selection import ordered_names
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.trajectory.embedding_3d import late_figure
from mlflow_modelmap.figures.trajectory.oscillation import autocorrelation_figure
from mlflow_modelmap.numerics.points.embedding import pca
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.trajectory.oscillation import (
    Autocorrelation,
    autocorrelation,
    late_part,
)
from mlflow_modelmap.numerics.trajectory.trajectories import by_name

_FEWEST = 8


def oscillation(
    done: Preprocessed, deep: dict[float, np.ndarray], colours: dict[str, str]
) -> tuple[dict[str, Figure], pd.DataFrame | None]:
    """Pictures of the late part by file name, and the table of autocorrelations, if any.

    Parameters
    ----------
    done
        The checkpoints, K in all.
    deep
        t-SNEs in three dimensions, shape (K, 3), by perplexity.
    colours
        Of the trajectories.

    Returns
    -------
    figures, table
        The table's columns: ``trajectory``, ``perplexity``, ``lag`` and ``period`` (steps),
        ``autocorrelation``, and ``low`` and ``high``, the 95 % band of white noise.
    """
    late, correlations = _late_parts(done, deep)
    figures = {}
    if late:
        figures["late_3d"] = late_figure(late, colours)
    if not correlations:
        return figures, None
    figures["autocorrelation"] = autocorrelation_figure(correlations)
    return figures, _table(correlations)


def _late_parts(
    done: Preprocessed, deep: dict[float, np.ndarray]
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, dict[float, Autocorrelation]]]:
    """Principal components of the late part of each embedding, and PC3's autocorrelation."""
    late: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    correlations: dict[str, dict[float, Autocorrelation]] = {}
    of = by_name(done.trajectories)
    for name in ordered_names(done.trajectories):
        part = late_part(of[name])
        if len(part) < _FEWEST:
            continue
        for perplexity, embedded in deep.items():
            components = pca(embedded[part.rows], 3).coordinates
            late.setdefault(name, (part.steps, components))
            try:
                found = autocorrelation(part.steps, components[:, 2])
            except InputError:
                continue
            correlations.setdefault(name, {})[perplexity] = found
    return late, correlations


def _table(found: dict[str, dict[float, Autocorrelation]]) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "trajectory": name,
                    "perplexity": perplexity,
                    "lag": own.lags,
                    "autocorrelation": own.values,
                    "low": own.low,
                    "high": own.high,
                    "period": pd.array([own.period] * len(own.lags), dtype="Int64"),
                }
            )
            for name, by in found.items()
            for perplexity, own in by.items()
        ],
        ignore_index=True,
    )
