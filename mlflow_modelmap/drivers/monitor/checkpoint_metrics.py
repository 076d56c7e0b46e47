"""Driver: what a monitor logs of each checkpoint - one list: the name, what it says, how it is got.

The fields of `Recorded` are that list. What `Monitor.record` returns, the columns of the run's
index, its metrics and what the page reads of a training follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from mlflow_modelmap.numerics.diffusion.exponents import Exponent
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.trajectory.running import Latest

NAN = math.nan


@dataclass(frozen=True)
class Measured:
    """What is known of a checkpoint once it is scored.

    Attributes
    ----------
    latest
        What it adds to the trajectory.
    bits
        Bits per byte and their standard error.
    kl_reference
        KL divergence from the reference and its standard error; None where there is none.
    anomaly
        Why it breaks continuity, or None.
    judged
        Whether continuity can be judged by now.
    seconds, share
        What recording it took, and as a share of the time since the one before.
    exact
        Reference (A) and checkpoint (B) compared token by token; None where they are not.
    """

    latest: Latest
    bits: tuple[float, float]
    kl_reference: tuple[float, float] | None
    anomaly: str | None
    judged: bool
    seconds: float
    share: float
    exact: ExactKL | None = None


def _metric(says: str, of: Callable[[Measured], float | None], default: Any = NAN) -> Any:
    return field(default=default, metadata={"says": says, "of": of})


def _of_exponent(read: Callable[[Exponent], float]) -> Callable[[Measured], float | None]:
    return lambda of: None if of.latest.exponent is None else read(of.latest.exponent)


def _of_reference(which: int) -> Callable[[Measured], float | None]:
    return lambda of: None if of.kl_reference is None else of.kl_reference[which]


def _of_exact(read: Callable[[ExactKL], float]) -> Callable[[Measured], float | None]:
    return lambda of: None if of.exact is None else read(of.exact)


def _flag(of: Measured) -> float | None:
    return float(of.anomaly is not None) if of.anomaly is not None or of.judged else None


@dataclass(frozen=True)
class Recorded:
    """A recorded checkpoint, in bits per byte; NaN where there is no such number (yet).

    Each field but the step is a metric (``modelmap/`` and its name) at that step. `anomaly` says
    here why the checkpoint breaks continuity, or is None; the metric is 1 or 0.
    """

    step: int
    bits_per_byte: float = _metric("how well the model predicts the texts", lambda of: of.bits[0])
    bits_per_byte_se: float = _metric("its standard error", lambda of: of.bits[1])
    kl_previous: float = _metric(
        "KL divergence from the checkpoint recorded before", lambda of: of.latest.kl
    )
    kl_previous_se: float = _metric("its standard error", lambda of: of.latest.se)
    kl_reference: float = _metric("KL divergence from the reference", _of_reference(0))
    kl_reference_se: float = _metric("its standard error", _of_reference(1))
    diffusion_exponent: float = _metric(
        "over the last checkpoints after warm-up", _of_exponent(lambda found: found.exponent)
    )
    diffusion_exponent_low: float = _metric(
        "lower end of its 95 % interval", _of_exponent(lambda found: found.low)
    )
    diffusion_exponent_high: float = _metric(
        "upper end of its 95 % interval", _of_exponent(lambda found: found.high)
    )
    anomaly: str | None = _metric("whether the checkpoint breaks continuity", _flag, None)
    monitor_seconds: float = _metric("what recording it took", lambda of: of.seconds)
    monitor_share: float = _metric(
        "that as a share of the time since the one before", lambda of: of.share
    )
    exact_forward: float = _metric(
        "exact KL(reference || checkpoint), where it was asked for", _of_exact(lambda e: e.forward)
    )
    exact_forward_se: float = _metric("its standard error", _of_exact(lambda e: e.forward_se))
    exact_reverse: float = _metric(
        "exact KL(checkpoint || reference)", _of_exact(lambda e: e.reverse)
    )
    exact_top1: float = _metric(
        "share of tokens at which both find the same token likeliest", _of_exact(lambda e: e.top1)
    )


class Metric(NamedTuple):
    """A number that is logged of each checkpoint.

    Attributes
    ----------
    name
        Of the metric, behind ``modelmap/``, and of the column.
    says
        What it means.
    of
        How it is got; None where there is no such number (yet).
    """

    name: str
    says: str
    of: Callable[[Measured], float | None]


METRICS = tuple(Metric(f.name, **f.metadata) for f in fields(Recorded) if f.metadata)
"""All of them, in the order of the index."""


def values_of(measured: Measured) -> dict[str, float]:
    """The value of each metric by name; NaN where there is none."""
    found = {metric.name: metric.of(measured) for metric in METRICS}
    return {name: NAN if value is None else float(value) for name, value in found.items()}


def recorded(step: int, measured: Measured) -> Recorded:
    """What is told of a checkpoint that was logged."""
    values: dict[str, Any] = values_of(measured)
    return Recorded(step, **{**values, "anomaly": measured.anomaly})


def cost_of(seconds: float, training_seconds: float) -> dict[str, float]:
    """What is logged once, at the end: what monitoring took, and as a share of the training."""
    return {
        "monitor_total_seconds": seconds,
        "monitor_total_share": seconds / max(training_seconds, 1e-9),
    }
