"""Numerics: the KL divergence along trajectories, and between them at the same step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory


def kl_previous(
    q: ArrayLike, given: Iterable[Trajectory], shares: Sampling | np.ndarray | None = None
) -> pd.DataFrame:
    """KL divergence of each checkpoint from the one before it (Figures 4 and 14).

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    given
        Trajectories whose rows are those of `q`.
    shares
        How the texts were sampled; see `divergence.kl_with_standard_error`.

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
    q: ArrayLike,
    given: Iterable[Trajectory],
    start: int,
    shares: Sampling | np.ndarray | None = None,
) -> pd.DataFrame:
    """KL divergence of every later checkpoint from the one at step `start` (Figure 5, left).

    Parameters
    ----------
    q
        Coordinates, shape (K, N).
    given
        Trajectories whose rows are those of `q`.
    start
        Training step.
    shares
        As in `kl_previous`.

    Returns
    -------
    DataFrame
        Columns ``trajectory``, ``step_from``, ``step``, ``kl``, ``se`` (bits/byte);
        trajectories that have no checkpoint at that step, or none after it, are left out.

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


def kl_between(
    q: ArrayLike,
    given: Sequence[Trajectory],
    steps: Iterable[int] | None = None,
    shares: Sampling | np.ndarray | None = None,
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
        Columns ``step``, ``trajectory``, ``other``, ``kl``, ``se`` (bits/byte); each pair once.
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
