"""Driver: what a monitor logs of each checkpoint - one list: the name, what it says, how it is got.

The fields of `Recorded` are that list. What `Monitor.record` returns, the columns of the run's
table, its curves and what the page reads of a training follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.exponents import Exponent, means_something
from mlflow_modelmap.numerics.exact.summary import ExactKL
from mlflow_modelmap.numerics.trajectory.running import Latest
from mlflow_modelmap.words.near import perhaps

NAN = math.nan
FEW, ALL = "few", "all"
"""Which numbers of a checkpoint become curves: those that people look at, or each of them."""


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


def _curve(says: str, of: Callable[[Measured], float | None], default: Any = NAN) -> Any:
    """A number that people look at as a curve; the others stand in the table."""
    return field(default=default, metadata={"says": says, "of": of, "curve": True})


def _of_exponent(read: Callable[[Exponent], float]) -> Callable[[Measured], float | None]:
    """A number of the exponent, where that means something."""

    def of(measured: Measured) -> float | None:
        found = measured.latest.exponent
        return read(found) if found is not None and means_something(found) else None

    return of


def _lack_of_fit(of: Measured) -> float | None:
    return None if of.latest.exponent is None else of.latest.exponent.lack_of_fit


def _of_reference(which: int) -> Callable[[Measured], float | None]:
    return lambda of: None if of.kl_reference is None else of.kl_reference[which]


def _of_exact(read: Callable[[ExactKL], float]) -> Callable[[Measured], float | None]:
    return lambda of: None if of.exact is None else read(of.exact)


def _flag(of: Measured) -> float | None:
    return float(of.anomaly is not None) if of.anomaly is not None or of.judged else None


@dataclass(frozen=True)
class Recorded:
    """A recorded checkpoint, in bits per byte; NaN where there is no such number (yet).

    Each field but the step is a column of ``modelmap/checkpoints.csv``, and a few of them (or all)
    are metrics at that step, ``modelmap/`` and the name. `anomaly` says here why the checkpoint
    breaks continuity, or is None; in the table it is 1 or 0.
    """

    step: int
    bits_per_byte: float = _curve("how well the model predicts the texts", lambda of: of.bits[0])
    bits_per_byte_se: float = _metric("its standard error", lambda of: of.bits[1])
    kl_previous: float = _curve(
        "KL divergence from the checkpoint recorded before", lambda of: of.latest.kl
    )
    kl_previous_se: float = _metric("its standard error", lambda of: of.latest.se)
    kl_reference: float = _curve("KL divergence from the reference", _of_reference(0))
    kl_reference_se: float = _metric("its standard error", _of_reference(1))
    diffusion_exponent: float = _curve(
        "over the last checkpoints after warm-up, where it means something",
        _of_exponent(lambda found: found.exponent),
    )
    diffusion_exponent_low: float = _metric(
        "lower end of its 95 % interval", _of_exponent(lambda found: found.low)
    )
    diffusion_exponent_high: float = _metric(
        "upper end of its 95 % interval", _of_exponent(lambda found: found.high)
    )
    anomaly: str | None = _curve("whether the checkpoint breaks continuity", _flag, None)
    monitor_seconds: float = _metric("what recording it took", lambda of: of.seconds)
    monitor_share: float = _metric(
        "that as a share of the time since the one before", lambda of: of.share
    )
    exact_forward: float = _curve(
        "exact KL(reference || checkpoint), where it was asked for", _of_exact(lambda e: e.forward)
    )
    exact_forward_se: float = _metric("its standard error", _of_exact(lambda e: e.forward_se))
    exact_reverse: float = _metric(
        "exact KL(checkpoint || reference)", _of_exact(lambda e: e.reverse)
    )
    exact_top1: float = _metric(
        "share of tokens at which both find the same token likeliest", _of_exact(lambda e: e.top1)
    )
    diffusion_lack_of_fit: float = _metric(
        "p-value of the power law; below 0.01 there is no exponent", _lack_of_fit
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
    curve
        Whether it is a metric of the run in any case.
    """

    name: str
    says: str
    of: Callable[[Measured], float | None]
    curve: bool = False


METRICS = tuple(Metric(f.name, **f.metadata) for f in fields(Recorded) if f.metadata)
"""All of them, in the order of the table."""

_CURVES = {metric.name for metric in METRICS if metric.curve}


def drawn(curves: str) -> Callable[[str, float], bool]:
    """Whether a number is a metric too, by its name and value; of few, a flag only where raised.

    Raises
    ------
    InputError
        If `curves` is no choice.
    """
    if curves == ALL:
        return lambda name, value: True
    if curves == FEW:
        return lambda name, value: name in _CURVES and (name != "anomaly" or value > 0)
    near = perhaps(curves, (FEW, ALL))
    raise InputError(f"curves is {curves!r}; give {FEW!r} or {ALL!r}{near}.")


def values_of(measured: Measured) -> dict[str, float]:
    """The value of each metric by name; NaN where there is none."""
    found = {metric.name: metric.of(measured) for metric in METRICS}
    return {name: NAN if value is None else float(value) for name, value in found.items()}


def recorded(step: int, measured: Measured) -> Recorded:
    """What is told of a checkpoint that was logged."""
    values: dict[str, Any] = values_of(measured)
    return Recorded(step, **{**values, "anomaly": measured.anomaly})


def cost_of(seconds: float, training_seconds: float) -> dict[str, float]:
    """What can be logged once, at the end: what monitoring took, and its share of the training."""
    return {
        "monitor_total_seconds": seconds,
        "monitor_total_share": seconds / max(training_seconds, 1e-9),
    }
