"""Tracking: which vector a reader takes of a run - with prompts, without, or their difference."""

from __future__ import annotations

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.largest_sizes import NotRead
from mlflow_modelmap.tracking.runs.vector_table import Vectors
from mlflow_modelmap.words.vectors import CONDITIONAL, PMI

REMEDY = "score it again with --unconditional, on prompts with responses, or leave it out"


class NotAlone(NotRead):
    """Why a run has no other vectors than log p(response | prompt)."""


def chosen_vector(read: Vectors, vector: str) -> np.ndarray:
    """Log-likelihoods of the model itself, or PMI, in nats, shape (N,).

    Raises
    ------
    NotAlone
        If that needs responses without their prompts, and these were not scored.
    """
    assert read.own is not None
    if vector == CONDITIONAL:
        return read.own
    if read.unconditional is None:
        raise NotAlone("has no log-likelihoods of responses without their prompts")
    return read.own - read.unconditional if vector == PMI else read.unconditional


def check_layers(layers: bool, vector: str) -> None:
    """Refuse other vectors of layers.

    Raises
    ------
    InputError
        Layers have conditional vectors only.
    """
    if layers and vector != CONDITIONAL:
        raise InputError(
            f"Layers are scored behind prompts only and have no {vector} vectors; leave out the "
            "layers, or take the conditional vectors."
        )


def none_alone(runs: int, vector: str) -> InputError:
    """The error where no run is left that has such a vector."""
    return InputError(
        f"None of the {runs} runs can be read with {vector} vectors, which need responses scored "
        "without their prompts too; score the models again with --unconditional, on prompts with "
        "responses."
    )
