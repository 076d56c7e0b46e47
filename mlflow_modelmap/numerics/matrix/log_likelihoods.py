"""Numerics: the log-likelihood matrix L, and the weights of its texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.sampling import (
    Sampling,
    check_documents,
    length_variation,
    units_of,
)


@dataclass(frozen=True, eq=False)
class LogLikelihoodMatrix:
    """K points by N texts.

    Attributes
    ----------
    values
        Log-likelihoods in nats, float64, shape (K, N), all finite.
    points
        K unique names.
    text_bytes
        UTF-8 bytes of each text, shape (N,).
    weights
        Importance weights of the texts, shape (N,), positive: how much more often each occurs in
        the population that is asked about than here. Their scale does not matter. None: alike.
    documents
        The number of the document that each text is a piece of, shape (N,), -1 for a text that
        stands for itself. None: all do. Errors are taken over documents.
    per_byte
        Whether coordinates leave out what is in proportion to a text's bytes: l_s - r b_s takes
        the place of l_s less its mean, with r = sum(l) / sum(b). For texts of unequal length, on
        which two models of different quality differ the more the longer a text is.
    likelihoods
        Where `values` are no log-likelihoods but differences of such (PMI): those that bits per
        byte are of, nats, shape (K, N). None: `values` are.

    Raises
    ------
    InputError
        If the shapes disagree, a name occurs twice, a value is not finite or a weight not positive.
    """

    values: np.ndarray
    points: tuple[str, ...]
    text_bytes: np.ndarray
    weights: np.ndarray | None = None
    documents: np.ndarray | None = None
    per_byte: bool = False
    likelihoods: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape != (len(self.points), len(self.text_bytes)):
            raise InputError(
                f"A log-likelihood matrix of shape {self.values.shape} does not fit "
                f"{len(self.points)} points and {len(self.text_bytes)} texts."
            )
        if self.likelihoods is not None and self.likelihoods.shape != self.values.shape:
            raise InputError(
                f"Log-likelihoods of shape {self.likelihoods.shape} do not fit values of shape "
                f"{self.values.shape}; give one for each."
            )
        if len(set(self.points)) != len(self.points):
            twice = next(p for p in self.points if self.points.count(p) > 1)
            raise InputError(f"The point {twice!r} occurs twice; every point needs its own name.")
        if not np.isfinite(self.values).all():
            row, text = np.argwhere(~np.isfinite(self.values))[0]
            raise InputError(
                f"The log-likelihood of text {text} under {self.points[row]!r} is "
                f"{self.values[row, text]}; score that point again."
            )
        if self.weights is not None:
            check_weights(self.weights, len(self.text_bytes))
        if self.documents is not None:
            check_documents(self.documents, len(self.text_bytes))

    @cached_property
    def shares(self) -> np.ndarray | None:
        """Each text's share of the weights, shape (N,), their sum 1; None where all are alike."""
        return None if self.weights is None else shares_of(self.weights)

    @cached_property
    def sampling(self) -> Sampling:
        """What the errors of KL on these texts depend on; for `numerics.divergence`."""
        return sampling_of(self.text_bytes, self.shares, self.documents, per_byte=self.per_byte)

    @property
    def units(self) -> int:
        """How many independent units the texts are: documents, and texts without one."""
        return units_of(self.documents, len(self.text_bytes))

    @property
    def counts(self) -> dict[str, float]:
        """Number of texts, and of independent units among them (``documents``)."""
        return {"texts": float(len(self.text_bytes)), "documents": float(self.units)}

    @property
    def length_variation(self) -> float:
        """Coefficient of variation of the texts' bytes, weighted if the texts are."""
        return length_variation(self.text_bytes, self.weights)

    @property
    def mean_bytes(self) -> float:
        """B, the (weighted) mean UTF-8 bytes a text, which turns nats into bits per byte."""
        if self.shares is None:
            return float(np.mean(self.text_bytes))
        return float(np.sum(self.shares * self.text_bytes))  # whatever the number of threads

    def keep_texts(self, keep: np.ndarray) -> LogLikelihoodMatrix:
        """Keep the texts selected by a mask or index array; B follows from what is kept."""
        weights = None if self.weights is None else self.weights[keep]
        likelihoods = None if self.likelihoods is None else self.likelihoods[:, keep]
        return replace(
            self,
            values=self.values[:, keep],
            likelihoods=likelihoods,
            text_bytes=self.text_bytes[keep],
            weights=weights,
            documents=None if self.documents is None else self.documents[keep],
        )

    def keep_points(self, keep: np.ndarray) -> LogLikelihoodMatrix:
        """Keep the points selected by a mask or index array."""
        index = np.arange(len(self.points))[keep]
        return replace(
            self,
            values=self.values[index],
            points=tuple(self.points[i] for i in index),
            likelihoods=None if self.likelihoods is None else self.likelihoods[index],
        )


def sampling_of(
    text_bytes: np.ndarray,
    shares: np.ndarray | None = None,
    documents: np.ndarray | None = None,
    *,
    per_byte: bool = False,
) -> Sampling:
    """The `Sampling` of N texts.

    Parameters
    ----------
    text_bytes
        UTF-8 bytes of each text, shape (N,).
    shares
        Of the texts' weights, shape (N,), their sum 1; None where they count alike.
    documents, per_byte
        As in `LogLikelihoodMatrix`.
    """
    size = np.asarray(text_bytes, dtype=np.float64)
    if (size == size[0]).all():  # per byte is then the same as per text
        return Sampling(shares, shares, documents)
    held = size if shares is None else shares * size
    return Sampling(held / held.sum(), shares, documents, per_byte)


def check_weights(weights: np.ndarray, texts: int) -> None:
    """An InputError unless there is one positive finite weight a text.

    Parameters
    ----------
    weights
        One a text.
    texts
        N.
    """
    if weights.shape != (texts,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(
            f"Weights of shape {weights.shape} do not fit {texts} texts; give each text one "
            "positive finite weight, or none at all."
        )


def shares_of(weights: np.ndarray) -> np.ndarray | None:
    """Each weight's share of their sum, shape (N,); None where all weights are equal.

    So texts that are weighted alike give exactly the numbers of texts without weights.

    Parameters
    ----------
    weights
        Positive and finite, shape (N,).
    """
    if (weights == weights[0]).all():
        return None
    shares = weights / weights.max()
    return shares / shares.sum()
