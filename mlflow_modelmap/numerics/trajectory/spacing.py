"""Numerics: the usual spacing of checkpoints, and where warm-up ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory

WARM_UP = 2_000 / 143_000
"""The paper's share of training before which nothing is judged."""


def usual_spacing(given: Iterable[Trajectory]) -> int:
    """The `most_common_gap` of some trajectories together, in steps."""
    return most_common_gap(np.concatenate([t.gaps for t in given]))


def most_common_gap(gaps: ArrayLike) -> int:
    """The most common number of steps between neighbouring checkpoints; the largest of equals.

    Parameters
    ----------
    gaps
        Steps from each checkpoint to the next, shape (n,), n >= 1.
    """
    found, counts = np.unique(np.asarray(gaps), return_counts=True)
    return int(found[counts == counts.max()].max())


def default_warm_up(given: Sequence[Trajectory]) -> int:
    """First step after warm-up, where nobody said which it is.

    The paper's share of training (2,000 of 143,000 steps), and not before checkpoints come at
    their usual spacing (missing ones apart): 2,000 for Pythia.

    Parameters
    ----------
    given
        One trajectory or more.
    """
    last = max(int(t.steps[-1]) for t in given)
    spacing = usual_spacing(given)
    regular = 0
    for trajectory in given:
        irregular = np.flatnonzero(trajectory.gaps % spacing)
        if irregular.size and irregular[-1] + 1 < len(trajectory):
            regular = max(regular, int(trajectory.steps[irregular[-1] + 1]))
    return max(regular, warm_up_of(last))


def warm_up_of(steps: int) -> int:
    """The paper's share (2,000 of 143,000) of a training of so many steps, rounded up.

    Parameters
    ----------
    steps
        Length of the training.
    """
    return int(np.ceil(WARM_UP * steps - 1e-9))
