"""Tracking: one point of a map, as the run that holds it describes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlflow.entities import Run

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import LARGEST_STEP, LATEST_TIME
from mlflow_modelmap.words.shortened import shortened

YES_OR_NO = {"true": True, "false": False}
_INFINITE = 1.7e308
"""MLflow keeps infinity as the largest number that there is."""


@dataclass(frozen=True)
class Point:
    """One point of a map, and the run it comes from.

    Attributes
    ----------
    run_id, experiment_id, start_time
        Of the MLflow run; milliseconds since the epoch.
    name
        Unique among the runs selected together.
    model, revision, commit
        As referred to, and resolved.
    trajectory, step
        Where along which training it stands, or None.
    model_type, base_model, precision
        Its family, parent and number format, where known.
    text_set, text_set_name
        Whole SHA-256 digest of the text set, and its name.
    bits_per_byte
        As logged; `read_matrix` puts what it computes from the vector itself.
    noise_kl
        KL divergence between two scores of it that differ by arithmetic only, bits/byte, as logged;
        None where it was not measured.
    bos_applied
        Whether a BOS token came before each text, so that its first token was scored; None where
        the run does not say.
    read_as
        What else the run says of how the texts were read, as logged: EOS, windows, whose tokens.
    prompted
        What the run says of what prompts were under (`schema.PROMPTED`), as logged.
    layer
        Which layer of the model (0 the embeddings), or None for the model itself.
    identity
        Hash of everything that went into the score, or None for a run written by others.
    artifact_uri, vectors
        Where the run's artifacts lie, and the file among them that holds this point's vector.
    row
        Which row of `vectors` is this point, in a run of kind ``vectors``; else None.
    tags
        All tags of the run.
    earlier
        Runs of the same score, the latest first, to be read where this one is damaged.
    """

    run_id: str
    name: str
    model: str
    text_set: str
    artifact_uri: str
    experiment_id: str = ""
    start_time: int = 0
    revision: str | None = None
    commit: str | None = None
    trajectory: str | None = None
    step: int | None = None
    model_type: str | None = None
    base_model: str | None = None
    precision: str | None = None
    text_set_name: str | None = None
    bits_per_byte: float | None = None
    layer: int | None = None
    identity: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    vectors: str = schema.LOG_LIKELIHOODS
    earlier: tuple[Point, ...] = field(default=(), repr=False)
    noise_kl: float | None = None
    bos_applied: bool | None = None
    read_as: Mapping[str, str] = field(default_factory=dict, repr=False)
    prompted: Mapping[str, str] = field(default_factory=dict, repr=False)
    row: int | None = None

    @property
    def imported(self) -> bool:
        """Whether it is one of the many points of a run of kind ``vectors``."""
        return self.row is not None

    @property
    def monitored(self) -> bool:
        """Whether it is one of the many checkpoints that a monitored training run holds."""
        return not self.imported and self.vectors != schema.LOG_LIKELIHOODS

    @property
    def one_of_many(self) -> bool:
        """Whether its run holds other points too, so that the run's metrics are not its own."""
        return self.monitored or self.imported

    @property
    def place(self) -> tuple[str, str, int | None]:
        """Where its vector lies: run, file and row; of no two points the same."""
        return self.run_id, self.vectors, self.row


def started(run: Run) -> int:
    """When a run began, in milliseconds since 1970; 0 where it does not say, or says nonsense."""
    time = run.info.start_time or 0
    return time if 0 <= time <= LATEST_TIME else 0


def finite(metric: float | None) -> float | None:
    """A metric as it was logged; None for one that is not finite, which MLflow keeps too."""
    return metric if metric is not None and abs(metric) < _INFINITE else None


def point_of(run: Run) -> Point:
    """The point that a score run is.

    Raises
    ------
    TrackingError
        If its step is no number.
    """
    tags = run.data.tags

    def tag(name: str) -> str | None:
        return tags.get(name) or None

    step = tag(schema.TAG_STEP)
    number = None if step is None else whole_step(step)
    if step is not None and number is None:
        raise TrackingError(
            f"Run {run.info.run_id} has the step {shortened(step, 40)!r} in its tag "
            f"{schema.TAG_STEP}; it must be a whole number."
        )
    return Point(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        model=tag(schema.TAG_MODEL) or run.info.run_name or run.info.run_id,
        text_set=tag(schema.TAG_TEXT_SET) or "",
        artifact_uri=run.info.artifact_uri,
        experiment_id=run.info.experiment_id,
        start_time=started(run),
        revision=tag(schema.TAG_REVISION),
        commit=tag(schema.TAG_COMMIT),
        trajectory=tag(schema.TAG_TRAJECTORY),
        step=number,
        model_type=tag(schema.TAG_MODEL_TYPE),
        base_model=tag(schema.TAG_BASE_MODEL),
        precision=tag(schema.TAG_PRECISION),
        text_set_name=tag(schema.TAG_TEXT_SET_NAME),
        bits_per_byte=finite(run.data.metrics.get(schema.METRIC_BITS_PER_BYTE)),
        noise_kl=finite(run.data.metrics.get(schema.METRIC_NOISE_KL)),
        bos_applied=YES_OR_NO.get(run.data.params.get(schema.PARAM_BOS_APPLIED, "")),
        read_as=_params(run, schema.READ_AS),
        prompted=_params(run, schema.PROMPTED),
        identity=tag(schema.TAG_IDENTITY),
        tags=dict(tags),
    )


def _params(run: Run, names: Iterable[str]) -> dict[str, str]:
    """Those of a run's params that are there."""
    return {name: run.data.params[name] for name in names if name in run.data.params}


def whole_step(step: object) -> int | None:
    """A step as a number that 64 bits hold, or None."""
    try:
        number = int(step)  # type: ignore[call-overload]
    except (ValueError, TypeError, OverflowError):
        return None
    return number if abs(number) <= LARGEST_STEP else None
