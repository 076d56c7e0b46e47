"""Numerics: one kind of score predicted from the map - how well, and what it is of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.prediction.intervals import cv_plus
from mlflow_modelmap.numerics.prediction.out_of_fold import out_of_fold
from mlflow_modelmap.numerics.prediction.ridge import fit_ridge
from mlflow_modelmap.numerics.prediction.skill import (
    correlation,
    degrees,
    ratio_of_errors,
    root_mean_square,
)

FEWEST_POINTS, FEW_POINTS, FEWEST_GROUPS, FEW_GROUPS = 10, 30, 3, 5
MAP, BITS, MEAN = "map", "bits per byte", "mean"


@dataclass(frozen=True, eq=False)
class Predicted:
    """What is known of one kind of score.

    Attributes
    ----------
    skill
        A row for the map, bits per byte alone and the mean: ``predictor``, ``r``, ``r_low``,
        ``r_high``, ``rmse``, ``rmse_low``, ``rmse_high``, and the map's RMSE over that of this
        predictor with its interval, ``ratio``, ``ratio_low``, ``ratio_high``.
    predicted, low, high
        Of each of the K points: with a score out of fold, without an interval (NaN); without a
        score by the fit on all that have one, with its 95 % interval. Shape (K,).
    mean
        Mean of the training part, shape (K,): NaN for those without a score.
    dual
        Of the fit on all points with a score, shape (K,); 0 for those without one.
    penalty
        Of that fit.
    notice
        What is to be told of few points or groups, or None.
    """

    skill: pd.DataFrame
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    dual: np.ndarray
    penalty: float
    notice: str | None


def predicted_scores(
    products: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    bits: np.ndarray,
    *,
    name: str = "score",
    folds: int = 10,
    repeats: int = 5,
    seed: int = 0,
) -> Predicted:
    """Predict the scores of K points from their places on the map.

    Parameters
    ----------
    products
        Q Q^T, shape (K, K).
    scores
        NaN where there is none, shape (K,).
    groups
        A label a point, shape (K,): those that must not be in training and test at once.
    bits
        Bits per byte, shape (K,).
    name
        Of the scores, for what is said of them.
    folds, repeats, seed
        As `out_of_fold` takes them.

    Raises
    ------
    InputError
        If there are too few points or groups with a score, or all scores or points are alike.
    """
    known = np.flatnonzero(np.isfinite(scores))
    unknown = np.flatnonzero(~np.isfinite(scores))
    y = scores[known]
    codes = np.unique(groups[known].astype(str), return_inverse=True)[1]
    notice = _checked(name, y, codes)
    own = products[np.ix_(known, known)]
    others = products[np.ix_(unknown, known)]
    left_out = out_of_fold(
        own, y, codes, bits[known], new=others, folds=folds, repeats=repeats, seed=seed
    )
    mean = left_out.mean.mean(axis=0)
    by = {MAP: left_out.predicted.mean(axis=0), BITS: left_out.by_bits.mean(axis=0), MEAN: mean}
    rows = []
    for predictor, values in by.items():
        r = correlation(values, y, mean, codes)
        rmse = root_mean_square(values, y, codes)
        ratio = ratio_of_errors(by[MAP], values, y, codes)
        rows.append([predictor, *r, *rmse, *ratio])
    columns = [f"{of}{end}" for of in ("r", "rmse", "ratio") for end in ("", "_low", "_high")]
    skill = pd.DataFrame(rows, columns=["predictor", *columns])
    skill.loc[skill["predictor"] == MAP, ["ratio", "ratio_low", "ratio_high"]] = np.nan
    fit = fit_ridge(own, y, codes)
    predicted, low, high, training, dual = np.full((5, len(scores)), np.nan)
    predicted[known], training[known] = by[MAP], mean
    dual[:] = 0.0
    dual[known] = fit.dual
    if unknown.size:
        predicted[unknown] = fit.predict(others)
        low[unknown], high[unknown] = cv_plus(left_out.predicted, y, left_out.new)
        # Quantiles of the folds' predictions need not lie around that of the fit on all.
        low, high = np.fmin(low, predicted), np.fmax(high, predicted)
        low[known] = high[known] = np.nan
    return Predicted(skill, predicted, low, high, training, dual, fit.penalty, notice)


def _checked(name: str, scores: np.ndarray, codes: np.ndarray) -> str | None:
    """What is to be told of few points and groups; an InputError if there are too few."""
    n, groups = len(scores), len(np.unique(codes))
    if n < FEWEST_POINTS:
        raise InputError(
            f"Only {n} point{'s have' if n != 1 else ' has'} a score of {name!r}, and nothing is "
            f"learnt from fewer than {FEWEST_POINTS}; add scores, or score more of the models that "
            "have one."
        )
    if np.ptp(scores) <= 1e-12 * np.abs(scores).max():
        raise InputError(
            f"All {n} scores of {name!r} are {scores[0]:g}, so that there is nothing to predict; "
            "give scores that differ."
        )
    if groups < FEWEST_GROUPS:
        raise InputError(
            f"The {n} points with a score of {name!r} are of {groups} "
            f"group{'s' * (groups > 1)}, and fewer than {FEWEST_GROUPS} cannot be learnt from and "
            "tested on; add models of other families, or choose --groups trajectory, another tag "
            "or none."
        )
    effective = degrees(codes) + 1
    if n >= FEW_POINTS and effective >= FEW_GROUPS:
        return None
    return (
        f"{name}: {n} points in {groups} groups (as good as {effective:.1f} of equal size) are "
        "few; r and RMSE are rough, and their intervals too."
    )


def in_words(skill: pd.DataFrame) -> str:
    """Whether the map tells more of a score than bits per byte do, and than the mean, in words.

    Parameters
    ----------
    skill
        `Predicted.skill`.
    """
    rows = skill.set_index("predictor")
    return (
        f"The map tells {_than(rows.loc[BITS])} bits per byte alone, and {_than(rows.loc[MEAN])} "
        "the mean."
    )


def _than(row: pd.Series) -> str:
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    shown = f"(RMSE {ratio:.2f} times as large, 95 % interval {low:.2f} to {high:.2f}) than"
    if not np.isfinite([ratio, low, high]).all():
        return "no more that could be measured than"
    if high < 1.0:
        return f"more {shown}"
    return f"less {shown}" if low > 1.0 else f"neither clearly more nor less {shown}"
