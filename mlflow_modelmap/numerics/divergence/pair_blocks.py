"""Numerics: KL divergences of all pairs block by block, for more points than a table can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlflow_modelmap.numerics.divergence.gram_products import Block, gram_blocks, refine
from mlflow_modelmap.numerics.divergence.kl import checked
from mlflow_modelmap.numerics.divergence.kl_variance import chosen_pairs
from mlflow_modelmap.numerics.matrix.sampling import Sampling

_ROWS = 1024


class PairBlock(NamedTuple):
    """KL and standard errors (bits/byte) of some rows with others, each of shape (rows, others).

    Where `one` is `other` it is the square of some rows among themselves; each pair of rows comes
    in one block alone, and `one` never after `other`.
    """

    one: slice
    other: slice
    kl: np.ndarray
    se: np.ndarray


def pair_blocks(q: np.ndarray, sampling: Sampling | None = None) -> Iterator[PairBlock]:
    """What `kl_with_standard_error` gives, in blocks of about a thousand rows.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    sampling
        `LogLikelihoodMatrix.sampling` of the matrix that `q` comes from; None for independent
        texts that count alike.

    Yields
    ------
    PairBlock
        Its values are those of the whole table to the last bits; exactly zero between equal rows.

    Raises
    ------
    InputError
        If `q` is not a matrix of finite values, or the sampling does not fit it.

    Notes
    -----
    Besides `q` it takes about 100 MB, whatever K and N are.
    """
    q = checked(q)
    sampling = Sampling.of(sampling, q.shape[1])
    clusters = sampling.clusters
    if sampling.per_byte or (clusters is not None and len(clusters) < 2):
        blocks = _by_differences(q, sampling)
    else:
        blocks = gram_blocks(q, sampling, errors=True)
    for block in blocks:
        assert block.variance is not None
        if block.close[0].size:
            _refined(q, sampling, block)
        if block.one is block.other:
            np.fill_diagonal(block.kl, 0.0)
            np.fill_diagonal(block.variance, 0.0)
        se = np.sqrt(block.variance, out=block.variance)
        yield PairBlock(block.one, block.other, block.kl, se)


def _by_differences(q: np.ndarray, sampling: Sampling) -> Iterator[Block]:
    none = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    rows = [slice(a, min(a + _ROWS, len(q))) for a in range(0, len(q), _ROWS)]
    for k, one in enumerate(rows):
        for other in rows[k:]:
            i, j = (np.arange(of.start, of.stop) for of in (one, other))
            shape = (i.size, j.size)
            found = chosen_pairs(q, np.repeat(i, j.size), np.tile(j, i.size), sampling)
            kl, variance = (values.reshape(shape) for values in found)
            yield Block(one, other, kl, variance, none)


def _refined(q: np.ndarray, sampling: Sampling, block: Block) -> None:
    """Compute a block's close pairs again, in place."""
    one, other = block.one, block.other
    same = one is other
    rows = q[one] if same else np.concatenate([q[one], q[other]])
    height = one.stop - one.start
    i = block.close[0] - one.start
    j = block.close[1] - other.start + (0 if same else height)
    kl, variance = np.zeros((len(rows), len(rows))), np.zeros((len(rows), len(rows)))
    refine(rows, sampling, kl, variance, (i, j))
    assert block.variance is not None
    column = j - (0 if same else height)
    for values, found in ((block.kl, kl), (block.variance, variance)):
        values[i, column] = found[i, j]
        if same:
            values[column, i] = found[i, j]
