"""Numerics: what fractional Brownian motion says about an exponent fitted to one of its paths."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from mlflow_modelmap.numerics.diffusion.power_law import slope_weights

FEWEST_FOR_INTERVAL = 4
"""Distances below which no interval is given: the directions cannot be told from so few."""

_LEVEL = 0.95
_WIDER = 8.0
_TERMS = 2_000

_NODES = np.unique(np.round(np.geomspace(1, _TERMS, 120)).astype(int))

_EXPONENTS = np.linspace(0.02, 1.90, 48)


def fractional_covariance(times: ArrayLike, exponent: float) -> np.ndarray:
    """Covariance of fractional Brownian motion of diffusion exponent c = 2 H, shape (m, m).

    Parameters
    ----------
    times
        Steps from the start, not negative, shape (m,).
    exponent
        c, between 0 and 2.
    """
    t = np.asarray(times, dtype=np.float64)
    return 0.5 * (t[:, None] ** exponent + t**exponent - np.abs(t[:, None] - t) ** exponent)


def directions_of(gram: ArrayLike, lags: ArrayLike, exponent: float) -> float:
    """Effective number of independent directions of a path (participation ratio).

    Parameters
    ----------
    gram
        Inner products of the displacements from t0, shape (m, m).
    lags
        Their steps from t0, shape (m,).
    exponent
        By which their correlation in time is taken out.

    Returns
    -------
    float
        1 or more.
    """
    gram = np.asarray(gram, dtype=np.float64)
    lags = np.asarray(lags, dtype=np.float64)
    m = lags.size
    c = float(np.clip(exponent, _EXPONENTS[0], _EXPONENTS[-1]))
    factor = np.linalg.cholesky(fractional_covariance(lags / lags[0], c))
    white = np.linalg.solve(factor, np.linalg.solve(factor, gram).T)
    own = np.diagonal(white)
    other = (np.sum(white**2) - np.sum(own**2)) / (m * (m - 1))
    share = other / np.mean(own) ** 2
    inverse = share / max(1.0 - 2.0 * share / m, 1e-3)
    return float(1.0 / np.clip(inverse, 1e-9, 1.0))


def interval(
    lags: np.ndarray, estimate: float, directions: float, least: float
) -> tuple[float, float]:
    """All exponents under which the fitted one is not extreme: its 95 % confidence interval.

    Parameters
    ----------
    lags
        Steps from t0, shape (m,).
    estimate
        The fitted exponent.
    directions
        Effective number of independent directions of the path, as estimated from it.
    least
        A standard error that is not gone below.

    Returns
    -------
    low, high
        The outermost ends; NaN with fewer than `FEWEST_FOR_INTERVAL` lags.

    Notes
    -----
    An exponent is extreme beyond a t quantile, of m (m - 1) / 2 degrees of freedom, times the
    slope's deviation, times 1 + 8 / (m^2 directions): both stand for the directions being
    estimated. The second factor was found by simulation (``benchmarks/coverage_exponents.py``),
    so that a path of one or two directions is covered too.
    """
    size = lags.size
    if size < FEWEST_FOR_INTERVAL:
        return float("nan"), float("nan")
    tail = 0.5 + _LEVEL / 2.0
    wider = 1.0 + _WIDER / (size**2 * directions)
    half = np.maximum(
        stats.t.ppf(tail, size * (size - 1) // 2) * wider * slope_deviation(lags, directions),
        special.ndtri(tail) * least,
    )
    # Seen from above 0 the lower end is an upper one of the mirrored problem.
    low = -_outermost(-estimate, -_EXPONENTS[::-1], half[::-1])
    return low, _outermost(estimate, _EXPONENTS, half)


def _outermost(estimate: float, grid: np.ndarray, half: np.ndarray) -> float:
    """The largest c with estimate + half(c) = c; beyond the grid half stays as at its end."""

    def beyond(c: float) -> float:
        return estimate + float(np.interp(c, grid, half)) - c

    if beyond(grid[-1]) >= 0:
        return float(estimate + half[-1])
    inside = np.flatnonzero(estimate + half >= grid)
    if not inside.size:
        return float(estimate + half[0])
    last = int(inside[-1])
    return float(optimize.brentq(beyond, grid[last], grid[last + 1]))


def standard_error(lags: ArrayLike, estimate: float, directions: float) -> float:
    """Standard deviation of the fitted exponent, if the true one is `estimate`.

    Parameters
    ----------
    lags, estimate, directions
        As for `interval`.
    """
    return float(np.interp(estimate, _EXPONENTS, slope_deviation(lags, directions)))


def slope_deviation(lags: ArrayLike, directions: float) -> np.ndarray:
    """Standard deviation of the fitted exponent under each of a grid of true ones, shape (48,).

    Parameters
    ----------
    lags
        Steps from t0, whole and positive, shape (m,).
    directions
        Effective number of independent directions of the path.
    """
    lags = np.asarray(lags, dtype=np.int64)
    powers = _correlation_powers(tuple((lags // np.gcd.reduce(lags)).tolist()))
    a = directions / 2.0
    n = np.arange(1, _TERMS + 1)
    # (n - 1)! / (n (a)_n), a running product.
    terms = np.cumprod(np.concatenate(([1.0 / a], n[:-1] / (a + n[:-1])))) / n
    rest = max(float(special.polygamma(1, a)) - float(terms.sum()), 0.0)
    variance = powers @ (_between_nodes() @ terms) + rest * powers[:, -1]
    return np.sqrt(np.maximum(variance, 0.0))


@lru_cache(maxsize=256)
def _correlation_powers(lags: tuple[int, ...]) -> np.ndarray:
    """sum_kl w_k w_l rho_kl^2n for each exponent of the grid and node n, shape (48, nodes)."""
    t = np.array(lags, dtype=np.float64)
    w = slope_weights(t)
    squares = []
    for c in _EXPONENTS:
        covariance = fractional_covariance(t, float(c))
        scale = np.sqrt(np.diagonal(covariance))
        squares.append(np.minimum((covariance / np.outer(scale, scale)) ** 2, 1.0).ravel())
    outer = np.outer(w, w).ravel()
    result = np.stack([np.power(squares, n) @ outer for n in _NODES], axis=1)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=1)
def _between_nodes() -> np.ndarray:
    """Shares of the nodes in each n by linear interpolation, shape (nodes, terms)."""
    n = np.arange(1, _TERMS + 1)
    return np.stack([np.interp(n, _NODES, row) for row in np.eye(_NODES.size)])
