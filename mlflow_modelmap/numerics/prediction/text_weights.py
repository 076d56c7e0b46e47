"""Numerics: which texts a prediction is carried by - the coefficients back among the texts."""

from __future__ import annotations

import numpy as np
import pandas as pd


def text_weights(q: np.ndarray, dual: np.ndarray) -> pd.DataFrame:
    """Texts by the size of their weight, the largest first.

    Parameters
    ----------
    q
        Coordinates of the n points that were fitted, shape (n, N).
    dual
        `Ridge.dual`, shape (n,).

    Returns
    -------
    DataFrame
        Columns ``text`` (from 0), ``weight`` w = Q^T dual (score a unit of the coordinate; positive
        where models that find the text likelier than their other texts have the higher score),
        ``effect`` (weight times the SD of the points' coordinates: in units of the score),
        and ``share`` of the sum of all w^2.
    """
    weight = q.T @ dual
    square = weight**2
    total = float(square.sum())
    order = np.argsort(-np.abs(weight), kind="stable")
    return pd.DataFrame(
        {
            "text": order,
            "weight": weight[order],
            "effect": (weight * q.std(axis=0))[order],
            "share": square[order] / total if total > 0 else 0.0,
        }
    )
