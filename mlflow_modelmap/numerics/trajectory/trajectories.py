"""Numerics: trajectories - points of one training, ordered by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.natural_order import natural


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Checkpoints of one training.

    Attributes
    ----------
    name
        What the training is called.
    steps
        Training steps, int64, ascending, each once, shape (n,).
    rows
        Which row of the matrix each checkpoint is, shape (n,).
    """

    name: str
    steps: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def gaps(self) -> np.ndarray:
        """Steps from each checkpoint to the next, shape (n - 1,)."""
        return np.diff(self.steps)

    def where(self, keep: np.ndarray) -> Trajectory:
        """The checkpoints selected by a mask or index array."""
        return Trajectory(self.name, self.steps[keep], self.rows[keep])


def trajectories(
    labels: Sequence[str | None], steps: Sequence[int | None], points: Sequence[str]
) -> list[Trajectory]:
    """Group points into trajectories, each in order of step; by name.

    Parameters
    ----------
    labels, steps, points
        Of each row of the matrix: its trajectory, its training step and its name, shape (K,).

    Returns
    -------
    list of Trajectory
        In the natural order of their names.

    Raises
    ------
    InputError
        If a point has no trajectory or no step, a step occurs twice in a trajectory, or a
        trajectory has a single checkpoint.
    """
    if not len(labels) == len(steps) == len(points):
        raise InputError(
            f"{len(labels)} trajectories, {len(steps)} steps and {len(points)} points do not fit."
        )
    without = [
        p
        for p, label, step in zip(points, labels, steps, strict=True)
        if label is None or step is None
    ]
    if without:
        raise InputError(
            f"{len(without)} of {len(points)} points have no trajectory or no step "
            f"({listed(without, 5)}); score them with `--trajectory` and `--step`, or leave them "
            "out."
        )
    members: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        members.setdefault(str(label), []).append(row)
    found = []
    for name in sorted(members, key=natural):
        rows = np.array(members[name], dtype=np.intp)
        own = np.array([steps[row] for row in rows], dtype=np.int64)
        order = np.argsort(own, kind="stable")
        rows, own = rows[order], own[order]
        twice = np.flatnonzero(np.diff(own) == 0)
        if twice.size:
            first, second = points[rows[twice[0]]], points[rows[twice[0] + 1]]
            raise InputError(
                f"The trajectory {name!r} has step {own[twice[0]]} twice ({first!r} and "
                f"{second!r}); leave one of them out."
            )
        if len(rows) < 2:
            raise InputError(
                f"The trajectory {name!r} has one checkpoint only ({points[rows[0]]!r}); a "
                "trajectory needs two or more."
            )
        found.append(Trajectory(name, own, rows))
    return found


def common_steps(given: Sequence[Trajectory]) -> np.ndarray:
    """Steps at which every trajectory has a checkpoint, ascending.

    Parameters
    ----------
    given
        One trajectory or more.

    Returns
    -------
    ndarray of int64, shape (n,)
        May be empty.
    """
    steps = given[0].steps
    for t in given[1:]:
        steps = np.intersect1d(steps, t.steps)
    return steps


def by_name(given: Iterable[Trajectory]) -> Mapping[str, Trajectory]:
    """Trajectories by their names."""
    return {t.name: t for t in given}
