"""Numerics: how the texts of a matrix were sampled, as far as standard errors depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlflow_modelmap.errors import InputError

UNEVEN = 0.1
"""Coefficient of variation of the texts' bytes above which people are told of it."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """What the error of a mean over N texts depends on beside the values themselves.

    Attributes
    ----------
    expected
        e_s, the share of the (weighted) bytes that each text holds, shape (N,), their sum 1; None
        where it is 1 / N for every text. Where texts are of equal length it is their share of the
        weights. A KL per byte is a ratio, so that text s is expected to add e_s KL to it.
    shares
        a_s, the share of the weights, shape (N,), their sum 1; None for 1 / N each.
    documents
        Of each text a number, shape (N,); texts with the same one are pieces of one document and
        not independent, and a text with a negative one stands for itself. None: all do.
    per_byte
        Whether a difference in proportion to the texts' bytes was taken out (see
        `LogLikelihoodMatrix.per_byte`), which the errors then have to know.
    """

    expected: np.ndarray | None = None
    shares: np.ndarray | None = None
    documents: np.ndarray | None = None
    per_byte: bool = False

    @classmethod
    def of(cls, given: Sampling | np.ndarray | None, texts: int) -> Sampling:
        """The same, or that of texts with these shares; checked against the number of texts.

        Raises
        ------
        InputError
            If shares do not fit the texts or do not add up to 1.
        """
        found = given if isinstance(given, cls) else cls(given, given)  # type: ignore[arg-type]
        for values in (found.expected, found.shares):
            if values is None:
                continue
            values = np.asarray(values, dtype=np.float64)
            fits = values.shape == (texts,) and (values > 0).all()
            if not fits or abs(values.sum() - 1.0) > 1e-9:
                raise InputError(
                    f"Shares of shape {values.shape} that add up to {values.sum():g} do not fit "
                    f"{texts} texts; give one positive share a text, in all 1."
                )
        if found.documents is not None:
            check_documents(found.documents, texts)
        return found

    @cached_property
    def clusters(self) -> Clusters | None:
        """The texts by document; None where every text stands for itself."""
        return clusters_of(self.documents)


@dataclass(frozen=True, eq=False)
class Clusters:
    """N texts in C documents.

    Attributes
    ----------
    order
        The texts document by document, shape (N,).
    starts
        Where each document begins in that order, shape (C,), ascending from 0.
    """

    order: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return self.starts.size

    @property
    def sizes(self) -> np.ndarray:
        """Texts in each document, shape (C,)."""
        return np.diff(np.append(self.starts, self.order.size))

    @property
    def factor(self) -> float:
        """C / (C - 1), by which squared errors over few clusters are larger; NaN for one."""
        return len(self) / (len(self) - 1) if len(self) > 1 else float("nan")

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over each document along the last axis, shape (..., C)."""
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)


def clusters_of(documents: np.ndarray | None) -> Clusters | None:
    """The texts by document; None where every text stands for itself.

    Parameters
    ----------
    documents
        As in `Sampling`, shape (N,), or None.
    """
    if documents is None:
        return None
    codes = single_codes(documents)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return None if starts.size == codes.size > 1 else Clusters(order, starts)


def single_codes(documents: np.ndarray) -> np.ndarray:
    """Codes from 0 on in which a text without a document has one of its own, int64, shape (N,)."""
    codes = np.array(documents, dtype=np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def units_of(documents: np.ndarray | None, texts: int) -> int:
    """How many independent units N texts are: documents, and texts without one."""
    return texts if documents is None else int(np.unique(single_codes(documents)).size)


def check_documents(documents: np.ndarray, texts: int) -> None:
    """An InputError unless there is one whole number a text."""
    if documents.shape != (texts,) or documents.dtype.kind not in "iu":
        raise InputError(
            f"Documents of shape {documents.shape} ({documents.dtype}) do not fit {texts} texts; "
            "give each text the number of its document, or -1 for none."
        )


def variance_of_sum(influence: np.ndarray, documents: Clusters | None) -> np.ndarray:
    """The variance of sums of what single texts contribute, shape (...).

    sum_s f_s^2, and of texts in C documents the cluster-robust C / (C - 1) times the sum over
    documents of (the sum of f over the document's texts)^2; NaN for a single document, except that
    contributions which are all 0 have no variance.

    Parameters
    ----------
    influence
        The contribution of each text less its expectation, shape (..., N).
    documents
        From `clusters_of`.
    """
    if documents is None:
        return np.einsum("...j,...j->...", influence, influence)
    if len(documents) < 2:
        return np.where(influence.any(axis=-1), np.nan, 0.0)
    sums = documents.sums(influence)
    return documents.factor * np.einsum("...j,...j->...", sums, sums)


def length_variation(text_bytes: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Coefficient of variation of the texts' bytes: SD over mean (both weighted, if weights are).

    Parameters
    ----------
    text_bytes
        UTF-8 bytes of each text, shape (N,).
    weights
        Of the texts, shape (N,), or None.
    """
    size = np.asarray(text_bytes, dtype=np.float64)
    mean = np.average(size, weights=weights)
    return float(np.sqrt(np.average((size - mean) ** 2, weights=weights)) / mean)


def uneven_lengths(variation: float) -> str | None:
    """What people are told of texts of unequal length; None where they are nearly equal.

    Parameters
    ----------
    variation
        From `length_variation`.
    """
    if not variation > UNEVEN:
        return None
    return (
        f"The texts differ in length (SD {100 * variation:.0f} % of the mean bytes), so that a KL "
        "also holds differences that grow with a text's length; `modelmap compare` and `modelmap "
        "map` leave them out with --per-byte."
    )
