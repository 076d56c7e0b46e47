"""Numerics: the coordinates Q of a model map - centred, scaled, and their exponential."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix

_ROWS = 64


def double_centre(values: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """Subtract row means (over texts), then column means (over points); shape (K, N).

    With `shares`, shape (N,), the means over texts are weighted.

    Parameters
    ----------
    values
        Nats, float64, shape (K, N).
    shares
        Of the weights of the texts, shape (N,), their sum 1.
    """
    rows = _over_texts(values, shares)
    return rows - rows.mean(axis=0, keepdims=True)


def _over_texts(values: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    total = _sums(values, shares)
    return values - (total / values.shape[1] if shares is None else total)[:, None]


def _sums(values: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    """(Weighted) sums over the texts, shape (...,); of equal rows the same, to the bit.

    A matrix product rounds a row by its place among the others, and a sum along an axis by the
    order in memory.
    """
    rows = values.reshape(-1, values.shape[-1])
    found = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        for k, row in enumerate(np.ascontiguousarray(rows[start : start + _ROWS]), start):
            found[k] = np.sum(row if shares is None else row * shares)
    return found.reshape(values.shape[:-1])


def coordinates(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Q, double-centred and scaled so that squared distances are KL in bits/byte.

    Of a matrix per byte, rows are centred by what is in proportion to the texts' bytes.

    Returns
    -------
    ndarray of float64, shape (K, N)
        Divided by sqrt(2 N B ln 2) (paper, Section 2). With weights, 1 / N is each text's share
        of them, so that a squared distance is the weighted variance over 2 B ln 2.
    """
    return coordinates_around(matrix, centre_of(matrix))


def centre_of(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """What `coordinates` subtracts from every point: the mean of all points, nats, shape (N,)."""
    return _row_centred(matrix).mean(axis=0)


def coordinates_around(matrix: LogLikelihoodMatrix, centre: np.ndarray) -> np.ndarray:
    """As `coordinates`, around a given centre, shape (N,): the points of another map, with its own.

    The same point has the same coordinates, to the bit, whatever other points are in the matrix.
    """
    rows = _row_centred(matrix)
    rows -= centre
    return _scaled(rows, matrix)


def text_centred(matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Q before its columns are centred, shape (K, N): each row depends on its own point alone."""
    return _scaled(_row_centred(matrix), matrix)


def _row_centred(matrix: LogLikelihoodMatrix) -> np.ndarray:
    values = np.asarray(matrix.values, dtype=np.float64)
    if matrix.per_byte:
        values = without_proportional(values, matrix.text_bytes, matrix.shares)
    return _over_texts(values, matrix.shares)


def without_proportional(
    values: np.ndarray, text_bytes: np.ndarray, shares: np.ndarray | None = None
) -> np.ndarray:
    """Less r b, with r = sum(a l) / sum(a b): the residuals of a ratio; of mean 0, shape (..., N).

    Parameters
    ----------
    values
        Nats, shape (..., N).
    text_bytes
        UTF-8 bytes of each text, shape (N,).
    shares
        Of the texts, shape (N,), or None.
    """
    size = np.asarray(text_bytes, dtype=np.float64)
    held = size if shares is None else size * shares
    return values - (_sums(values, shares) / held.sum())[..., None] * size


def _scaled(centred: np.ndarray, matrix: LogLikelihoodMatrix) -> np.ndarray:
    """Turn centred nats into coordinates, in place."""
    if matrix.shares is None:
        centred /= np.sqrt(2.0 * centred.shape[1] * matrix.mean_bytes * np.log(2.0))
    else:
        centred *= np.sqrt(matrix.shares / (2.0 * matrix.mean_bytes * np.log(2.0)))
    return centred


def exponential(q: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """exp(q) - 1 of coordinates: as far apart as exp(q), with the digits of small q; shape (K, N).

    Of weighted texts the exponential is taken of what each coordinate would be among N texts that
    count alike, q / sqrt(N a) with a its share, and scaled back.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    shares
        `LogLikelihoodMatrix.shares`, shape (N,), or None.
    """
    if shares is None:
        return np.expm1(q)
    root = np.sqrt(shares * shares.size)
    return np.expm1(q / root) * root
