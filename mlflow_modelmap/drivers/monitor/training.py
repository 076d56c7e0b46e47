"""Driver: a training that is being monitored - its run, its trajectory so far, its reference."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.monitor.checkpoint_metrics import (
    Measured,
    Recorded,
    cost_of,
    recorded,
    values_of,
)
from mlflow_modelmap.drivers.monitor.cost import cost_in_words, two_digits
from mlflow_modelmap.drivers.monitor.exact import ExactComparisons
from mlflow_modelmap.drivers.pair.reference_score import ReferenceScore
from mlflow_modelmap.drivers.pair.with_reference import compare_with_reference, unlike_reading
from mlflow_modelmap.errors import InputError, ModelMapError, ScoringError
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_and_error
from mlflow_modelmap.numerics.trajectory.anomalies import FEWEST_INTERVALS, anomaly_in_words
from mlflow_modelmap.numerics.trajectory.running import Latest, RunningTrajectory
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import beat
from mlflow_modelmap.tracking.runs.monitor_run import MonitorRun
from mlflow_modelmap.tracking.runs.reading import not_logged_yet

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

log = logging.getLogger("mlflow_modelmap")
FEW_TEXTS = 30
_NOT_EXACT = "Checkpoints are not compared with the reference token by token"
_MEASURED = ("seconds", "load_seconds", "tokens_per_second")


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
    exact
        What is kept to compare each checkpoint with the reference token by token, if it is.
    """

    run: MonitorRun
    tokens: TokenizedTexts
    trajectory: RunningTrajectory
    reference: ReferenceScore | None = None
    from_first: bool = False
    seconds: float = 0.0
    exact: ExactComparisons | None = None
    began: float = field(default_factory=time.perf_counter)
    _last_end: float = field(default_factory=time.perf_counter)
    _said: set[str] = field(default_factory=set)
    _diverged: dict[int, str] = field(default_factory=dict)
    _tagged: str = ""

    def record(
        self,
        step: int,
        score: Callable[[], ScoreResult],
        compare: Callable[[ExactComparisons], ExactKL],
        saved: str | None,
    ) -> Recorded | None:
        """Score a checkpoint and log it; None where there is nothing (new) to record.

        `compare` says how it is compared exactly, where that was asked for.
        """
        beat()
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
            self.run.run.log(metrics={schema.METRIC_ANOMALY: 1.0}, step=step)
            self._tag(self._anomalies() | self._diverged)
            return None
        self.trajectory.add(step, result.log_likelihoods)
        anomalies = self._anomalies() | self._diverged
        exact = self._exactly(step, compare)
        measured = self._measured(step, result, anomalies.get(step), started, exact)
        if not steps:
            facts = {k: v for k, v in result.provenance.items() if k not in _MEASURED and v != ""}
            self.run.log_settings({}, facts)
        self.run.add(result, {"step": step, **values_of(measured), "model": saved})
        if measured.anomaly is not None:
            log.warning("Step %d breaks continuity: %s.", step, measured.anomaly)
        self._tag(anomalies)
        ended = time.perf_counter()
        if steps and "cost" not in self._said:
            self._say_cost(ended - started, started - self._last_end, step - steps[-1])
        self._last_end = ended
        self.seconds += ended - started
        return recorded(step, measured)

    def _say_cost(self, record: float, training: float, steps: int) -> None:
        """Say what a record costs, as soon as it is known how long the steps between take."""
        self._said.add("cost")
        said, dear = cost_in_words(record, training, steps)
        log.log(logging.WARNING if dear else logging.INFO, said)
        self.run.say({schema.TAG_MONITOR_COST: said})

    @property
    def _judged(self) -> int:
        """Checkpoints whose continuity is judged."""
        return int(np.sum(np.array(self.trajectory.steps) >= self.trajectory.warm_up))

    def note_saved(self, step: int, folder: str | None) -> None:
        """Say where the weights of a recorded step were saved."""
        if folder is not None and step in self.run.steps:
            self.run.saved(step, folder)

    def warn(self, texts: int) -> None:
        """Say so where the texts are few."""
        if texts < FEW_TEXTS:
            log.warning(
                "%d texts are few: below %d, standard errors are themselves uncertain.",
                texts,
                FEW_TEXTS,
            )

    def begin_exact(
        self,
        exact: ExactComparisons,
        tokenizer: Any,
        store: MlflowClient,
        keep_base: Callable[[ExactComparisons], None],
    ) -> None:
        """Keep the reference's part; where that cannot be, say why once and go on without.

        `keep_base` keeps an adapter's own base, which has no run.
        """
        try:
            if self.reference is not None and not self.reference.run_id:
                keep_base(exact)
            elif self.reference is not None:
                exact.keep(self.reference, tokenizer, store)
            elif self.run.steps:
                raise InputError(
                    "of the first checkpoint, which was recorded before, only the log-likelihoods "
                    "are there; save it and name it as the reference."
                )
            self.exact = exact
        except ModelMapError as error:
            exact.close()
            self._say_once("exact", f"{_NOT_EXACT}: {error}")

    def close(self) -> None:
        """Let go of what is kept of the reference."""
        exact, self.exact = self.exact, None
        if exact is not None:
            exact.close()

    def _exactly(self, step: int, compare: Callable[[ExactComparisons], ExactKL]) -> ExactKL | None:
        if self.exact is None:
            return None
        try:
            return compare(self.exact)
        except ModelMapError as error:
            self._say_once("exact", f"{_NOT_EXACT} from step {step} on: {error}")
            # A checkpoint may be out of range; what else is wrong stays wrong.
            if isinstance(error, InputError) or not self.exact.kept:
                self.close()
            return None

    def end(self, status: str, why: str | None = None) -> None:
        """Say what monitoring cost, and end the run if it was made here.

        Whatever becomes of the former, the latter is done; `why` says why it ended too early.
        """
        cost = cost_of(self.seconds, time.perf_counter() - self.began)
        seconds, share = cost.values()
        took = two_digits(seconds)
        said = f"Monitoring took {took} s, {two_digits(100 * share)} % of the training."
        log.info(said)
        drawn = {f"modelmap/{name}": v for name, v in cost.items() if self.run.drawn(name, v)}
        try:
            self.run.run.log(metrics=drawn, tags={schema.TAG_MONITOR_COST: said})
        finally:
            self.run.end(status, why)

    def _measured(
        self,
        step: int,
        result: ScoreResult,
        anomaly: str | None,
        started: float,
        exact: ExactKL | None,
    ) -> Measured:
        """What is known of a scored checkpoint, the latest of the trajectory."""
        latest = self.trajectory.latest()
        kl_reference = self._from_reference(step, result, latest)
        so_far = self.trajectory
        bits = bits_and_error(
            result.log_likelihoods, result.bytes, so_far.weights, so_far.documents
        )
        now = time.perf_counter()
        return Measured(
            latest,
            bits,
            kl_reference,
            anomaly,
            judged=self._judged > FEWEST_INTERVALS,
            seconds=now - started,
            share=(now - started) / max(now - self._last_end, 1e-9),
            exact=exact,
        )

    def _from_reference(
        self, step: int, result: ScoreResult, latest: Latest
    ) -> tuple[float, float] | None:
        """KL divergence of a checkpoint from the reference, and its standard error."""
        if self.reference is not None:
            far = compare_with_reference(
                self.reference, result.log_likelihoods, result.bytes, name=f"step {step}"
            )
            here = not_logged_yet(f"step {step}", result.provenance)
            for sentence in unlike_reading(self.reference, here):
                self._say_once(sentence.replace(f"step {step}", "reading"), sentence)
            return far.kl, far.se
        if self.from_first and latest.kl_first is not None and latest.se_first is not None:
            return latest.kl_first, latest.se_first
        return None

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
