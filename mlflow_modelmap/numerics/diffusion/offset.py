"""Numerics: a power law with an offset, A lag^c + b, and whether the law without one fits."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, stats

from mlflow_modelmap.numerics.diffusion.fractional_motion import fractional_covariance

FEWEST_FOR_FIT = 5
"""Distances below which neither is judged."""

MISFIT = 0.01
"""p-value of a power law below which it is said not to fit."""

MOST = 40
"""Checkpoints of a window that are looked at, evenly chosen where there are more."""

_EXPONENTS = np.linspace(0.02, 1.98, 64)
_OFFSETS = np.concatenate(([0.0], np.geomspace(0.01, 200.0, 60)))


class OffsetFit(NamedTuple):
    """The fit A lag^c + b, and how badly A lag^c alone fits.

    Attributes
    ----------
    exponent
        c of the law with the offset.
    offset
        b, in the unit of the squared distances, 0 or more.
    lack_of_fit
        p-value of the law without an offset: small where jitter of the checkpoints or uneven
        lengths of the steps contradict it.
    """

    exponent: float
    offset: float
    lack_of_fit: float


NO_FIT = OffsetFit(float("nan"), float("nan"), float("nan"))


def offset_fit(gram: ArrayLike, lags: ArrayLike) -> OffsetFit:
    """Fit a power law with an offset to all distances in a window, and test the one without.

    Parameters
    ----------
    gram
        Inner products of the displacements from t0, shape (m, m).
    lags
        Steps from t0, positive and ascending, shape (m,).

    Returns
    -------
    OffsetFit
        All NaN with fewer than `FEWEST_FOR_FIT` lags.

    Notes
    -----
    The model is fractional Brownian motion plus an independent displacement of every checkpoint,
    t0 included, of one size: the displacements have the covariance A S(c) + (b / 2) (I + 1 1^T) in
    each direction, S that of `fractional_covariance`, and squared distances grow as A lag^c + b.
    c, A and b are those of maximum likelihood, which uses the distances between all checkpoints and
    not only those from t0. Two tests make the p-value, twice the smaller of theirs: the likelihood
    ratio against b = 0 (half the upper tail of F with 1 and f degrees of freedom, b being at
    its bound), and whether the path's innovations, whitened under the fit, differ more in length
    than directions allow (F with m - 1 and f). The directions are estimated from the products
    of different innovations, f = m (m - 1) / 2 - 2 of them being free.
    """
    inner = np.asarray(gram, dtype=np.float64)
    steps = np.asarray(lags, dtype=np.float64)
    if steps.size < FEWEST_FOR_FIT:
        return NO_FIT
    if steps.size > MOST:
        kept = np.round(np.linspace(0, steps.size - 1, MOST)).astype(int)
        inner, steps = inner[np.ix_(kept, kept)], steps[kept]
    m = steps.size
    times = steps / steps[0]
    scale = float(np.trace(inner))
    inner = inner / scale
    roots, vectors = _decomposed(tuple(times.tolist()))
    own = np.einsum("cik,ij,cjk->ck", vectors, inner, vectors, optimize=True)
    variance = roots[:, None, :] + _OFFSETS[:, None]
    level = np.log(variance).sum(axis=2) + m * np.log((own[:, None, :] / variance).sum(axis=2))
    plain, plain_level = _lowest(level[:, 0])
    exponent, best = _lowest(level.min(axis=1))
    offset = float(_OFFSETS[np.argmin(level[np.argmin(np.abs(_EXPONENTS - exponent))])])
    if plain_level <= best or offset == 0:
        exponent, offset, best = plain, 0.0, plain_level
    covariance = fractional_covariance(times, exponent) + offset * _jitter(m)
    size = scale * float(np.trace(np.linalg.solve(covariance, inner))) / m
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, np.linalg.solve(factor, inner).T)
    own = np.diagonal(white)
    free = m * (m - 1) // 2 - 2
    share = (np.sum(white**2) - np.sum(own**2)) / 2.0 / free / np.mean(own) ** 2
    inverse_directions = np.clip(share / max(1.0 - 2.0 * share / m, 1e-3), 1e-9, 1.0)
    ratio = (plain_level - best) / inverse_directions
    of_offset = float(stats.f.sf(ratio, 1, free)) / 2.0 if offset > 0 else 1.0
    spread = float(own.var(ddof=1)) / np.mean(own) ** 2 / (2.0 * max(share, 1e-12))
    of_lengths = float(stats.f.sf(spread, m - 1, free))
    return OffsetFit(exponent, offset * size, min(1.0, 2.0 * min(of_offset, of_lengths)))


def _jitter(m: int) -> np.ndarray:
    """Covariance of displacements by independent shifts of all checkpoints, for b = 1; (m, m)."""
    return (np.eye(m) + 1.0) / 2.0


@lru_cache(maxsize=64)
def _decomposed(times: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """U with U^T S(c) U diagonal and U^T J U = 1 for each c: roots (64, m), U (64, m, m)."""
    t = np.array(times)
    jitter = _jitter(t.size)
    found = [linalg.eigh(fractional_covariance(t, float(c)), jitter) for c in _EXPONENTS]
    roots, vectors = (np.stack(part) for part in zip(*found, strict=True))
    return np.maximum(roots, 1e-12), vectors


def _lowest(level: np.ndarray) -> tuple[float, float]:
    """Where the lowest point of a curve over the exponents lies, by a parabola, and its value."""
    k = int(np.argmin(level))
    if not 0 < k < level.size - 1:
        return float(_EXPONENTS[k]), float(level[k])
    before, at, after = level[k - 1 : k + 2]
    bend = before - 2.0 * at + after
    shift = float(np.clip((before - after) / (2.0 * bend), -0.5, 0.5)) if bend > 0 else 0.0
    step = float(_EXPONENTS[1] - _EXPONENTS[0])
    return float(_EXPONENTS[k]) + shift * step, float(at - (before - after) * shift / 4.0)
