"""Driver: a training that is being monitored - its run, its trajectory so far, its reference."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlflow_modelmap.drivers.pair.comparison import distance
from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore
from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.numerics.trajectory.anomalies import FEWEST_INTERVALS, anomaly_in_words
from mlflow_modelmap.numerics.trajectory.running import RunningTrajectory
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.monitor_run import MonitorRun

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

log = logging.getLogger("mlflow_modelmap")
_MEASURED = ("seconds", "load_seconds", "tokens_per_second")
NAN = math.nan


@dataclass(frozen=True)
class Recorded:
    """A recorded checkpoint, in bits per byte; NaN where there is no such number (yet).

    Attributes
    ----------
    step
        Training step.
    bits_per_byte, bits_per_byte_se
        How well the model predicts the texts.
    kl_previous, kl_previous_se
        KL divergence from the checkpoint recorded before.
    kl_reference, kl_reference_se
        KL divergence from the reference.
    diffusion_exponent, diffusion_exponent_low, diffusion_exponent_high
        Over the last checkpoints, with its 95 % interval.
    anomaly
        Why this checkpoint breaks continuity, or None.
    monitor_seconds, monitor_share
        What recording it took, and as a share of the time since the one before.
    """

    step: int
    bits_per_byte: float
    bits_per_byte_se: float
    kl_previous: float = NAN
    kl_previous_se: float = NAN
    kl_reference: float = NAN
    kl_reference_se: float = NAN
    diffusion_exponent: float = NAN
    diffusion_exponent_low: float = NAN
    diffusion_exponent_high: float = NAN
    anomaly: str | None = None
    monitor_seconds: float = NAN
    monitor_share: float = NAN


@dataclass
class MonitoredTraining:
    """What is known of a training while it goes on.

    Attributes
    ----------
    run
        Where it is recorded.
    tokens
        The texts under the model's tokenizer.
    trajectory
        The checkpoints so far.
    reference
        What each is compared with; with `from_first` it is the first checkpoint.
    seconds
        What recording took so far.
    """

    run: MonitorRun
    tokens: TokenizedTexts
    trajectory: RunningTrajectory
    reference: ReferenceScore | None = None
    from_first: bool = False
    seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    _last_end: float = field(default_factory=time.perf_counter)
    _said: set[str] = field(default_factory=set)
    _diverged: dict[int, str] = field(default_factory=dict)
    _tagged: str = ""

    def record(
        self, step: int, score: Callable[[], ScoreResult], saved: str | None
    ) -> Recorded | None:
        """Score a checkpoint and log it; None where there is nothing (new) to record."""
        started = time.perf_counter()
        steps = self.run.steps
        if step in steps:
            self.note_saved(step, saved)
            return None
        if steps and step < steps[-1]:
            self._say_once(
                "before",
                f"Step {step} is before step {steps[-1]}, which is recorded already; recording "
                "goes on after it.",
            )
            return None
        try:
            result = score()
        except ScoringError as error:
            if not error.not_finite:
                raise
            # It is the training's trouble, and is said of it.
            self._say_once("diverged", f"Step {step} (or more) cannot be recorded: {error}")
            self._diverged[step] = f"not finite: {error}"
            self.run.run.log(metrics={"modelmap/anomaly": 1.0}, step=step)
            self._tag(self._anomalies() | self._diverged)
            return None
        measured = self._measured(step, result)
        anomalies = self._anomalies() | self._diverged
        row: dict[str, Any] = {"step": step, "model": saved, **measured}
        if step in anomalies or self._judged > FEWEST_INTERVALS:
            row["anomaly"] = float(step in anomalies)
        now = time.perf_counter()
        row["monitor_seconds"] = now - started
        row["monitor_share"] = (now - started) / max(now - self._last_end, 1e-9)
        if not steps:
            facts = {k: v for k, v in result.provenance.items() if k not in _MEASURED and v != ""}
            self.run.log_settings({}, facts)
        self.run.add(result, row)
        if step in anomalies:
            log.warning("Step %d breaks continuity: %s.", step, anomalies[step])
        self._tag(anomalies)
        self._last_end = time.perf_counter()
        self.seconds += self._last_end - started
        return Recorded(
            step,
            **measured,
            anomaly=anomalies.get(step),
            monitor_seconds=row["monitor_seconds"],
            monitor_share=row["monitor_share"],
        )

    @property
    def _judged(self) -> int:
        """Checkpoints whose continuity is judged."""
        return int(np.sum(np.array(self.trajectory.steps) >= self.trajectory.warm_up))

    def note_saved(self, step: int, folder: str | None) -> None:
        """Say where the weights of a recorded step were saved."""
        if folder is not None and step in self.run.steps:
            self.run.saved(step, folder)

    def end(self, status: str) -> None:
        """Say what monitoring cost, and end the run if it was made here."""
        total = max(time.perf_counter() - self.began, 1e-9)
        log.info(
            "Monitoring took %.1f s, %.1f %% of the training.",
            self.seconds,
            100 * self.seconds / total,
        )
        cost = {"total_seconds": self.seconds, "total_share": self.seconds / total}
        self.run.run.log(metrics={f"modelmap/monitor_{k}": v for k, v in cost.items()})
        self.run.end(status)

    def _measured(self, step: int, result: ScoreResult) -> dict[str, float]:
        """The numbers of `Recorded` that come from the vectors alone."""
        values = result.log_likelihoods
        bits, bits_se = bits_and_error(values, result.bytes, self.trajectory.weights)
        found: dict[str, Any] = {"bits_per_byte": bits, "bits_per_byte_se": bits_se}
        self.trajectory.add(step, values)
        latest = self.trajectory.latest()
        if latest.kl is not None:
            found |= {"kl_previous": latest.kl, "kl_previous_se": latest.se}
            if self.from_first:
                found |= {"kl_reference": latest.kl_first, "kl_reference_se": latest.se_first}
        if self.reference is not None:
            far = distance(self.reference, values, result.bytes, name=f"step {step}")
            found |= {"kl_reference": far.kl, "kl_reference_se": far.kl_se}
        if latest.exponent is not None:
            exponent = latest.exponent
            found |= {
                "diffusion_exponent": exponent.exponent,
                "diffusion_exponent_low": exponent.low,
                "diffusion_exponent_high": exponent.high,
            }
        return found

    def _anomalies(self) -> dict[int, str]:
        """What is known by now to break continuity, by step."""
        return {
            int(row.step): anomaly_in_words(row.kind, row.times_trend, row.score)
            for row in self.trajectory.anomalies().itertuples()
        }

    def _tag(self, known: dict[int, str]) -> None:
        """Say on the run which steps break continuity."""
        written = "; ".join(f"step {at}: {known[at]}" for at in sorted(known))
        if written != self._tagged:
            self.run.run.log(tags={schema.TAG_ANOMALY: written})
            self._tagged = written

    def _say_once(self, what: str, text: str) -> None:
        if what not in self._said:
            log.warning(text)
            self._said.add(what)
