"""Numerics: the usual spacing of checkpoints, and where warm-up ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory

WARM_UP = 2_000 / 143_000
"""The paper's share of training before which nothing is judged."""
_SEVERAL = 3
"""So many neighbouring gaps are a spacing."""
_ROUNDED_FROM = 20
"""A spacing of so many steps may be a rounded one: gaps are off by a step, or a hundredth."""


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

    The paper's share of training (2,000 of 143,000 steps), and not before checkpoints of each
    trajectory come at its usual spacing (missing ones apart), if it has one: 2,000 for Pythia.

    Parameters
    ----------
    given
        One trajectory or more.
    """
    last = max(int(t.steps[-1]) for t in given)
    return max(max(map(_regular_from, given)), warm_up_of(last))


def _regular_from(trajectory: Trajectory) -> int:
    """The step from which a trajectory's checkpoints come at its usual spacing; 0 without one.

    A gap that is otherwise later on, such as before the last checkpoint, changes nothing.
    """
    gaps = trajectory.gaps
    if not gaps.size:
        return 0
    usual = most_common_gap(gaps)
    off = np.minimum(gaps % usual, -gaps % usual)
    regular = off <= (max(1, usual // 100) if usual >= _ROUNDED_FROM else 0)
    regular &= 2 * gaps > usual  # a gap near 0 is none of the spacing, however near a multiple
    edges = np.flatnonzero(np.diff(np.concatenate([[False], regular, [False]])))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    long = starts[lengths >= _SEVERAL]
    return int(trajectory.steps[long[0]]) if long.size and long[0] else 0


def warm_up_of(steps: int) -> int:
    """The paper's share (2,000 of 143,000) of a training of so many steps, rounded up.

    Parameters
    ----------
    steps
        Length of the training.
    """
    return int(np.ceil(WARM_UP * steps - 1e-9))
