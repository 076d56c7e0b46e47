"""Numerics: points ordered by training step, and the KL divergence along and between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.natural_order import natural

_WARM_UP = 2_000 / 143_000


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


def usual_spacing(given: Iterable[Trajectory]) -> int:
    """The most common number of steps between neighbouring checkpoints; the largest of equals."""
    gaps, counts = np.unique(np.concatenate([t.gaps for t in given]), return_counts=True)
    return int(gaps[counts == counts.max()].max())


def default_warm_up(given: Sequence[Trajectory]) -> int:
    """First step after warm-up, where nobody said which it is.

    The paper's share of training (2,000 of 143,000 steps), and not before checkpoints come at
    their usual spacing (missing ones apart): 2,000 for Pythia.
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
    """The paper's share (2,000 of 143,000) of a training of so many steps, rounded up."""
    return int(np.ceil(_WARM_UP * steps - 1e-9))


def kl_previous(
    q: ArrayLike, given: Iterable[Trajectory], shares: np.ndarray | None = None
) -> pd.DataFrame:
    """KL divergence of each checkpoint from the one before it (Figures 4 and 14).

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    given
        Trajectories whose rows are those of `q`.
    shares
        Of weighted texts, shape (N,); see `divergence.kl_with_standard_error`.

    Returns
    -------
    DataFrame
        Columns ``trajectory``, ``step_from``, ``step``, ``kl``, ``se`` (bits/byte), and
        ``kl_per_1000_steps``: the same divided by the steps between the two. Where checkpoints
        stand at different distances compare that column, and with care: KL grows like a power of
        the distance, with an exponent that is often below 1, so that short distances are
        overrated by it.
    """
    frames = []
    for t in given:
        kl, se = kl_pairs(q, t.rows[:-1], t.rows[1:], shares)
        frames.append(
            pd.DataFrame(
                {
                    "trajectory": t.name,
                    "step_from": t.steps[:-1],
                    "step": t.steps[1:],
                    "kl": kl,
                    "se": se,
                    "kl_per_1000_steps": 1000.0 * kl / t.gaps,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def kl_from(
    q: ArrayLike, given: Iterable[Trajectory], start: int, shares: np.ndarray | None = None
) -> pd.DataFrame:
    """KL divergence of every later checkpoint from the one at step `start` (Figure 5, left).

    `shares` are as in `kl_previous`.

    Returns
    -------
    DataFrame
        Columns ``trajectory``, ``step_from``, ``step``, ``kl``, ``se``; trajectories that have no
        checkpoint at that step, or none after it, are left out.

    Raises
    ------
    InputError
        If that leaves none.
    """
    frames = []
    listed = list(given)
    for t in listed:
        at = np.flatnonzero(t.steps == start)
        if not at.size or at[0] + 1 == len(t):
            continue
        later = t.where(np.arange(at[0] + 1, len(t)))
        kl, se = kl_pairs(q, t.rows[at[0]], later.rows, shares)
        frames.append(
            pd.DataFrame(
                {
                    "trajectory": t.name,
                    "step_from": start,
                    "step": later.steps,
                    "kl": kl,
                    "se": se,
                }
            )
        )
    if not frames:
        steps = sorted({int(s) for t in listed for s in t.steps[:-1]})
        near = min(steps, key=lambda s: abs(s - start))
        raise InputError(
            f"No trajectory has a checkpoint at step {start} and one after it; the nearest such "
            f"step is {near}."
        )
    return pd.concat(frames, ignore_index=True)


def common_steps(given: Sequence[Trajectory]) -> np.ndarray:
    """Steps at which every trajectory has a checkpoint, ascending."""
    steps = given[0].steps
    for t in given[1:]:
        steps = np.intersect1d(steps, t.steps)
    return steps


def kl_between(
    q: ArrayLike,
    given: Sequence[Trajectory],
    steps: Iterable[int] | None = None,
    shares: np.ndarray | None = None,
) -> pd.DataFrame:
    """KL divergence between trajectories at the same step (Tables 2b and 3, Figure 15).

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    given
        Trajectories whose rows are those of `q`.
    steps
        Which; all that at least two trajectories have, if None.
    shares
        As in `kl_previous`.

    Returns
    -------
    DataFrame
        Columns ``step``, ``trajectory``, ``other``, ``kl``, ``se``; each pair once.
    """
    at: dict[int, list[tuple[str, int]]] = {}
    for t in given:
        for step, row in zip(t.steps.tolist(), t.rows.tolist(), strict=True):
            at.setdefault(step, []).append((t.name, row))
    wanted = sorted(at) if steps is None else sorted(set(steps))
    pairs = [
        (step, a[0], b[0], a[1], b[1])
        for step in wanted
        for i, a in enumerate(at.get(step, []))
        for b in at[step][i + 1 :]
    ]
    table = pd.DataFrame(pairs, columns=["step", "trajectory", "other", "i", "j"])
    i, j = (table[side].to_numpy(dtype=np.intp) for side in "ij")
    kl, se = kl_pairs(q, i, j, shares)
    return table.drop(columns=["i", "j"]).assign(kl=kl, se=se)


def squared_distances(
    q: ArrayLike, trajectory: Trajectory, most_steps: float | None = None
) -> np.ndarray:
    """Squared distances between the checkpoints of one trajectory, which are KL in bits/byte.

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    trajectory
        Its rows are those of `q`.
    most_steps
        Pairs further apart in training than that are left NaN; None for all pairs.

    Returns
    -------
    ndarray, shape (n, n)
        Symmetric, 0 on the diagonal.
    """
    n = len(trajectory)
    i, j = np.triu_indices(n, 1)
    if most_steps is not None:
        near = trajectory.steps[j] - trajectory.steps[i] <= most_steps
        i, j = i[near], j[near]
    table = np.full((n, n), np.nan)
    np.fill_diagonal(table, 0.0)
    kl, _ = kl_pairs(q, trajectory.rows[i], trajectory.rows[j])
    table[i, j] = kl
    table[j, i] = kl
    return table


def distance_table(
    steps_from: ArrayLike, steps: ArrayLike, squared: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Listed squared distances as a square table; pairs that are not listed are NaN.

    Parameters
    ----------
    steps_from, steps, squared
        One entry a pair of checkpoints, shape (p,).

    Returns
    -------
    steps : ndarray of int64, shape (n,)
        Ascending.
    table : ndarray, shape (n, n)
        Symmetric, 0 on the diagonal.

    Raises
    ------
    InputError
        If a distance is negative or not finite.
    """
    first = np.asarray(steps_from, dtype=np.int64)
    second = np.asarray(steps, dtype=np.int64)
    values = np.asarray(squared, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if wrong.size:
        at = wrong[0]
        raise InputError(
            f"The squared distance between steps {first[at]} and {second[at]} is {values[at]}; "
            "it must be finite, and 0 or more."
        )
    found, index = np.unique(np.concatenate((first, second)), return_inverse=True)
    i, j = index[: first.size], index[first.size :]
    table = np.full((found.size, found.size), np.nan)
    table[i, j] = values
    table[j, i] = values
    np.fill_diagonal(table, 0.0)
    return found, table


def by_name(given: Iterable[Trajectory]) -> Mapping[str, Trajectory]:
    """Trajectories by their names."""
    return {t.name: t for t in given}
