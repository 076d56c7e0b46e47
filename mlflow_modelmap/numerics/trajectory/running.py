"""Numerics: what can be said of a training while it goes on, checkpoint by checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import FEWEST, Exponent, exponent_of_coordinates
from mlflow_modelmap.numerics.diffusion.offset import FEWEST_FOR_FIT
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import text_centred
from mlflow_modelmap.numerics.matrix.log_likelihoods import (
    LogLikelihoodMatrix,
    sampling_of,
    shares_of,
)
from mlflow_modelmap.numerics.trajectory.anomalies import ANOMALY_COLUMNS, checkpoint_anomalies

WINDOW = 10
"""Checkpoints after t0 over which the running exponent is fitted, as in the paper."""


@dataclass(frozen=True)
class Latest:
    """What the latest checkpoint adds; KL in bits per byte.

    Attributes
    ----------
    step, step_from
        Of the checkpoint, and of the one before it (None for the first).
    kl, se
        From the one before it.
    kl_first, se_first
        From the first one.
    exponent
        Diffusion exponent over the last `WINDOW` checkpoints after warm-up, or None where fewer
        than three lie behind t0, or one of them has not moved. `exponents.means_something` says
        whether it can be read.
    """

    step: int
    step_from: int | None = None
    kl: float | None = None
    se: float | None = None
    kl_first: float | None = None
    se_first: float | None = None
    exponent: Exponent | None = None


class RunningTrajectory:
    """A trajectory that grows; each new checkpoint costs O(n N) for n checkpoints of N texts.

    Parameters
    ----------
    text_bytes
        UTF-8 bytes of what is scored of each text, shape (N,).
    weights
        Importance weights of the texts, shape (N,), or None.
    documents
        The number of each text's document, shape (N,), -1 for none, or None.
    warm_up
        First step from which exponents are fitted and continuity is judged.
    window
        Checkpoints after t0 that an exponent is fitted to.
    """

    def __init__(
        self,
        text_bytes: np.ndarray,
        weights: np.ndarray | None = None,
        *,
        documents: np.ndarray | None = None,
        warm_up: float = 0.0,
        window: int = WINDOW,
    ) -> None:
        if window < FEWEST_FOR_FIT:
            raise InputError(
                f"A window of {window} checkpoints is too short to tell whether an exponent fits; "
                f"give {FEWEST_FOR_FIT} or more."
            )
        self.text_bytes, self.weights = text_bytes, weights
        self.shares = None if weights is None else shares_of(weights)
        self.documents = documents
        self.sampling = sampling_of(text_bytes, self.shares, documents)
        self.warm_up, self.window = warm_up, window
        self.steps: list[int] = []
        self._q = np.empty((0, len(text_bytes)))
        self._table = np.empty((0, 0))

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, log_likelihoods: ArrayLike) -> None:
        """Append a checkpoint: its step, later than all before, and its vector in nats, (N,).

        Raises
        ------
        InputError
            If the step is not later, or the vector does not fit the texts or is not finite.
        """
        if self.steps and step <= self.steps[-1]:
            raise InputError(
                f"The step {step} does not come after step {self.steps[-1]}; record checkpoints "
                "in order of step."
            )
        values = np.asarray(log_likelihoods, dtype=np.float64)[None]
        matrix = LogLikelihoodMatrix(values, (f"step {step}",), self.text_bytes, self.weights)
        n = len(self)
        if n == len(self._q):  # room for as many again
            self._q = np.concatenate([self._q, np.empty((max(8, n), self._q.shape[1]))])
            table = np.zeros((len(self._q), len(self._q)))
            table[:n, :n] = self._table[:n, :n]
            self._table = table
        self._q[n] = text_centred(matrix)[0]  # differences of rows need no more
        self.steps.append(int(step))
        if n:
            kl, _ = kl_pairs(self._q[: n + 1], np.full(n, n), np.arange(n), self.sampling)
            self._table[n, :n] = self._table[:n, n] = kl

    @property
    def table(self) -> np.ndarray:
        """KL divergence between all checkpoints so far, bits/byte, shape (n, n)."""
        return self._table[: len(self), : len(self)]

    def latest(self) -> Latest:
        """What the latest checkpoint adds to those before it.

        Raises
        ------
        InputError
            If no checkpoint was added yet.
        """
        n = len(self)
        if n == 0:
            raise InputError("No checkpoint is recorded yet, so that there is no latest one.")
        if n == 1:
            return Latest(self.steps[0])
        kl, se = kl_pairs(self._q[:n], [n - 1, n - 1], [n - 2, 0], self.sampling)
        return Latest(
            self.steps[-1],
            self.steps[-2],
            float(kl[0]),
            float(se[0]),
            float(kl[1]),
            float(se[1]),
            self._exponent(),
        )

    def _exponent(self) -> Exponent | None:
        steps = np.array(self.steps)
        after = np.flatnonzero(steps >= self.warm_up)[-(self.window + 1) :]
        if after.size <= FEWEST or not (self.table[after[0], after[1:]] > 0).all():
            return None
        lags = steps[after[1:]] - steps[after[0]]
        return exponent_of_coordinates(lags, self._q[after])

    def anomalies(self) -> pd.DataFrame:
        """Checkpoints that break continuity, as far as can be told by now.

        Returns
        -------
        DataFrame
            As `checkpoint_anomalies` of `numerics.trajectory` gives it. A damaged latest checkpoint
            shows as a ``jump``, and turns into ``checkpoint`` once the next one is back where the
            one before was.
        """
        if len(self) < 2:
            return pd.DataFrame(columns=list(ANOMALY_COLUMNS))
        return checkpoint_anomalies(self.steps, self.table, self.warm_up)
