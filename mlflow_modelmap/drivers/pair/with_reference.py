"""Driver: a model's log-likelihood vector compared with the score of a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.noise_floor import pair_floor
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.reading import tell_of_unlike_reading
from mlflow_modelmap.words.texts_or_responses import TEXTS


def compare_with_reference(
    reference: ReferenceScore,
    log_likelihoods: np.ndarray,
    size: np.ndarray,
    *,
    name: str = "the model",
    level: float = 0.95,
    noise_kl: float | None = None,
    own: Sequence[OwnGroup] = (),
    likelihoods: np.ndarray | None = None,
    unit: str = TEXTS,
) -> Comparison:
    """How far a model with these log-likelihoods is from a reference, which comes second.

    Parameters
    ----------
    log_likelihoods, size
        Nats, and UTF-8 bytes scored of each text, shape (N,): of the reference's texts, and the
        same vector of the model as the reference's.
    name
        What the model is called in an error.
    level
        Coverage of the KL's interval.
    noise_kl
        Of the model's score, where it was measured.
    own, unit
        As for `Comparison.of_kl`.
    likelihoods
        Of the model, what its bits per byte are of, where the vectors are PMI.

    Raises
    ------
    InputError
        If not the same parts of the same texts were scored.
    """
    check_same_parts(reference, size, name)
    both = None
    if likelihoods is not None and reference.likelihoods is not None:
        both = np.stack([likelihoods, reference.likelihoods])
    return Comparison.of_vectors(
        log_likelihoods,
        reference.log_likelihoods,
        size,
        reference.weights,
        reference.documents,
        level=level,
        vector=reference.vector,
        likelihoods=both,
        noise_floor=pair_floor(noise_kl, reference.noise_kl),
        own=own,
        unit=unit,
    )


def unlike_reading(reference: ReferenceScore, point: Point) -> list[str]:
    """A sentence for each way in which a score read the texts unlike the reference's."""
    said: list[str] = []
    if reference.point is not None:
        tell_of_unlike_reading([point, reference.point], said)
    return said


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
