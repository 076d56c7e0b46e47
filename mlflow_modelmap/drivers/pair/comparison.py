"""Driver: how far a model is from a reference on the same texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte_difference
from mlflow_modelmap.numerics.scale.in_words import in_words


@dataclass(frozen=True)
class Distance:
    """How far a model is from a reference on the same texts.

    Attributes
    ----------
    kl, kl_se, kl_low, kl_high
        KL divergence in bits/byte, its standard error and confidence interval.
    words
        Where that lies on the paper's scale.
    bits_difference, bits_difference_se
        Bits per byte of the model less those of the reference; positive where it is worse.
    """

    kl: float
    kl_se: float
    kl_low: float
    kl_high: float
    words: str
    bits_difference: float
    bits_difference_se: float


def distance(
    reference: ReferenceScore,
    log_likelihoods: np.ndarray,
    size: np.ndarray,
    *,
    name: str = "the model",
    level: float = 0.95,
) -> Distance:
    """How far a model with these log-likelihoods is from a reference.

    Parameters
    ----------
    log_likelihoods, size
        Nats, and UTF-8 bytes scored of each text, shape (N,): of the reference's texts.
    name
        What the model is called in an error.
    level
        Coverage of the KL's interval.

    Raises
    ------
    InputError
        If not the same parts of the same texts were scored.
    """
    check_same_parts(reference, size, name)
    weights = reference.weights
    mean_bytes = float(np.average(size, weights=weights))
    kl, se = kl_between(log_likelihoods, reference.log_likelihoods, mean_bytes, weights=weights)
    low, high = confidence_interval(kl, se, level)
    bits, bits_se = bits_per_byte_difference(
        log_likelihoods, reference.log_likelihoods, size, weights
    )
    return Distance(kl, se, float(low), float(high), in_words(kl, se), bits, bits_se)


def check_same_parts(reference: ReferenceScore, size: np.ndarray, name: str) -> None:
    """Refuse a comparison of different parts of the texts.

    Raises
    ------
    InputError
        If their numbers differ, or one of the two was truncated.
    """
    if len(size) != len(reference.bytes):
        raise InputError(
            f"{name!r} was scored on {len(size)} texts and the reference {reference.name!r} on "
            f"{len(reference.bytes)}; score both on the same text set."
        )
    if not np.array_equal(size, reference.bytes):
        text = int(np.flatnonzero(size != reference.bytes)[0])
        raise InputError(
            f"{name!r} was scored on {size[text]} bytes of text {text} and the reference "
            f"{reference.name!r} on {reference.bytes[text]}, because one of them truncated it; "
            "make the texts short enough for both models."
        )
