"""Numerics: do models move the same way when they are changed the same way (Section 3.2)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError


@dataclass(frozen=True, eq=False)
class Alignment:
    """Mean pairwise cosine similarity of difference vectors.

    Attributes
    ----------
    by_type
        One row a model type with two or more models: `model_type`, `models`, `mean`, `low` and
        `high` (smallest and largest of the pairs), and against random groups of models of
        other types `random_mean`, `random_low`, `random_high` (2.5 and 97.5 percent of the trials;
        NaN where there are fewer than two other models).
    cosines
        Of all models with all, shape (M, M).
    trials
        Random groups drawn for each type.
    """

    by_type: pd.DataFrame
    cosines: np.ndarray
    trials: int


def cosine_similarities(differences: np.ndarray) -> np.ndarray:
    """Cosine between every two rows, shape (M, M); a row of zeros has no direction (NaN)."""
    norms = np.linalg.norm(differences, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = differences / norms[:, None]
    return np.clip(unit @ unit.T, -1.0, 1.0)


def alignment(
    differences: np.ndarray, model_types: Sequence[str], *, trials: int = 100, seed: int = 0
) -> Alignment:
    """Compare difference vectors within each model type with those of random groups.

    Parameters
    ----------
    differences
        q_changed - q_original of M models, shape (M, N), in one coordinate system.
    model_types
        M labels.
    trials
        Random groups, drawn without replacement for each type's size among the models of all
        other types (all of these, where they are fewer); a group's statistic is its mean over all
        pairs, as in the paper's 100 trials of nine models. The type itself is left out: drawn with
        it, a large type would be compared with itself.
    seed
        Of the draws.

    Raises
    ------
    InputError
        If the lengths disagree or a model did not move at all.
    """
    if len(differences) != len(model_types):
        raise InputError(
            f"There are {len(differences)} difference vectors but {len(model_types)} model types; "
            "give one a model."
        )
    still = np.flatnonzero(~np.any(differences, axis=1))
    if len(still):
        raise InputError(
            f"Model {int(still[0])} did not change at all, so its difference has no direction; "
            "leave it out."
        )
    cosines = cosine_similarities(np.asarray(differences, dtype=np.float64))
    generator = np.random.default_rng(seed)
    labels = np.asarray(model_types)
    rows = []
    for kind in sorted(set(model_types)):
        members = np.flatnonzero(labels == kind)
        if len(members) < 2:
            continue
        within = _pairs(cosines, members)
        others = np.flatnonzero(labels != kind)
        size = min(len(members), len(others))
        drawn = [
            _pairs(cosines, generator.choice(others, size, replace=False)).mean()
            for _ in range(trials if size >= 2 else 0)
        ]
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
        rows.append(
            {
                "model_type": kind,
                "models": len(members),
                "mean": within.mean(),
                "low": within.min(),
                "high": within.max(),
                "random_mean": float(np.mean(drawn)) if drawn else np.nan,
                "random_low": low,
                "random_high": high,
            }
        )
    columns = ["model_type", "models", "mean", "low", "high"]
    columns += ["random_mean", "random_low", "random_high"]
    return Alignment(pd.DataFrame(rows, columns=columns), cosines, trials)


def _pairs(cosines: np.ndarray, members: np.ndarray) -> np.ndarray:
    block = cosines[np.ix_(members, members)]
    return block[np.triu_indices(len(members), 1)]
