"""Numerics: ridge regression on coordinates, written in the K x K products of the points.

There are far more texts than models, so that everything is done with Q Q^T: the weights of the
texts are Q^T times one number a model. The intercept is not penalised, so that it does not
matter that columns of Q are centred over points that are in no training part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import KernelCenterer

from mlflow_modelmap.errors import InputError

PENALTIES = 10.0 ** np.arange(-5.0, 3.01, 0.5)
"""The log grid: penalties over the mean eigenvalue of the centred products of the training part."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """One fit on n points.

    Attributes
    ----------
    penalty
        Over the mean eigenvalue of the centred products, one of `PENALTIES`.
    mean
        Mean score of the n points, which is predicted where nothing else is known.
    dual
        One number a point, shape (n,), that add up to 0: the weights of texts are Q^T dual.
    centre
        Mean products of the n points with each of them, shape (n,), and
    overall
        the mean of all their products.
    """

    penalty: float
    mean: float
    dual: np.ndarray
    centre: np.ndarray
    overall: float

    def predict(self, products: np.ndarray) -> np.ndarray:
        """Scores of m points, shape (m,).

        Parameters
        ----------
        products
            Of their coordinates with those of the n points, shape (m, n).
        """
        # sum(dual) = 0, so that what is alike for all n points cancels.
        return self.mean + (products - self.centre) @ self.dual


def fit_ridge(products: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Ridge:
    """Ridge regression whose penalty is chosen by leaving out one group after the other.

    Parameters
    ----------
    products
        Q Q^T of n points, shape (n, n).
    scores
        Shape (n,).
    groups
        A number a point, shape (n,); points of one group are left out together.

    Raises
    ------
    InputError
        If all points lie in one place, or there are fewer than two groups.
    """
    centred = KernelCenterer().fit_transform(products)
    unit = float(np.trace(centred)) / len(scores)
    if not unit > 1e-12 * float(np.trace(np.abs(products))) / len(scores):
        raise InputError(
            f"All {len(scores)} points with a score have the same log-likelihoods, so that nothing "
            "can be told from them; give scores of models that differ."
        )
    errors = left_out_errors(centred, scores, groups, PENALTIES * unit)
    penalty = float(PENALTIES[int(np.argmin((errors**2).sum(axis=1)))])
    mean = float(np.mean(scores))
    model = KernelRidge(alpha=penalty * unit, kernel="precomputed").fit(centred, scores - mean)
    dual = np.asarray(model.dual_coef_, dtype=np.float64)
    dual = dual - dual.mean()
    return Ridge(penalty, mean, dual, products.mean(axis=0), float(products.mean()))


def left_out_errors(
    centred: np.ndarray, scores: np.ndarray, groups: np.ndarray, alphas: np.ndarray
) -> np.ndarray:
    """Score less prediction of each point, by fits without its group, shape (A, n).

    From one eigendecomposition, without a fit a group: a fit is linear in the scores, y^ = H y, and
    the errors of those left out are (I - H_gg)^-1 (y - y^)_g, with the intercept in H. scikit-learn
    has that for single points (`RidgeCV`), not for groups.

    Parameters
    ----------
    centred
        Products of the points' coordinates less their mean, shape (n, n).
    scores, groups
        Shape (n,).
    alphas
        Penalties in units of the products, shape (A,), positive.

    Raises
    ------
    InputError
        If all points are of one group.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    if codes.max() < 1:
        raise InputError("A penalty is chosen by leaving out groups; give points of two or more.")
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0.0)
    shrunk = values / (values + alphas[:, None])
    y = scores - scores.mean()
    residual = y - (shrunk * (vectors.T @ y)) @ vectors.T
    errors = np.empty_like(residual)
    for code in range(codes.max() + 1):
        rows = np.flatnonzero(codes == code)
        own = vectors[rows]
        hat = (own * shrunk[:, None, :]) @ own.T + 1.0 / len(y)
        left = np.linalg.solve(np.eye(rows.size) - hat, residual[:, rows, None])
        errors[:, rows] = left[..., 0]
    return errors
