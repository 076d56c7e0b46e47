"""Tracking: which points a run of kind ``vectors`` holds, as its table lists them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.search_utils import SearchUtils

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.tracking.runs.largest_sizes import LARGEST_STEP, MEBIBYTE, Limit, NotRead
from mlflow_modelmap.tracking.runs.point import YES_OR_NO, Point, finite, started
from mlflow_modelmap.words.shortened import shortened

TAG_OF = {
    "model": schema.TAG_MODEL,
    "revision": schema.TAG_REVISION,
    "commit": schema.TAG_COMMIT,
    "trajectory": schema.TAG_TRAJECTORY,
    "step": schema.TAG_STEP,
    "model_type": schema.TAG_MODEL_TYPE,
    "base_model": schema.TAG_BASE_MODEL,
    "precision": schema.TAG_PRECISION,
}
"""The columns that say of a point what a score run's tags say, and those tags."""
PARAMS = (schema.PARAM_BOS_APPLIED, *schema.READ_AS, *schema.PROMPTED)
"""Columns that say of a point what a score run's params say, by the params' own names."""
OWN = ("point", "row", *TAG_OF, "layer", "bits_per_byte", "noise_kl")
TAGS = (
    *(schema.TAG_BASE_MODEL_RELATION, schema.TAG_ADAPTER, schema.TAG_ADAPTER_BASE),
    *(schema.TAG_ENGINE, schema.TAG_PROMPT, schema.TAG_INT8_THRESHOLD, schema.TAG_WEIGHTS_FORMAT),
)
"""Further columns that are tags of ours. Every other column without ``modelmap.`` or ``mlflow.``
in front is a tag of the points, by its own name."""

_LIMIT = Limit(512 * MEBIBYTE, 1_000_000, "mlflow-modelmap")
_NAME = 1_000


def points_of(run: Run, store: MlflowClient, filter: str | None = None) -> list[Point]:
    """The points that a run of kind ``vectors`` lists, in the order of its table.

    Parameters
    ----------
    filter
        An MLflow filter string that each point must match by itself, as a score run would: tags,
        params and the name of a point stand above those of the run.

    Raises
    ------
    TrackingError
        If its table is missing or damaged.
    """
    info = run.info
    name = schema.VECTOR_POINTS.removeprefix(f"{schema.ARTIFACT_FOLDER}/")
    table = read_artifact(info.run_id, info.artifact_uri, name, store, limit=_LIMIT)
    try:
        found = _points(run, table)
    except NotRead as error:
        raise TrackingError(
            f"Run {info.run_id} is damaged: its {schema.VECTOR_POINTS} {error}; import it again."
        ) from None
    return _matching(found, run, filter) if filter else found


def is_said(column: str) -> bool:
    """Whether a column says something of points in words: a tag or a param."""
    if column in OWN:
        return column in TAG_OF and column != "step"
    return column in (*PARAMS, *TAGS) or not column.startswith(("modelmap.", "mlflow."))


def _points(run: Run, table: pd.DataFrame) -> list[Point]:
    missing = [column for column in ("point", "row") if column not in table]
    if missing:
        raise NotRead(f"lacks the column {', '.join(missing)}")
    names, rows = table["point"].tolist(), _whole(table["row"], "row", LARGEST_STEP)
    if not names:
        raise NotRead("lists no point")
    wrong = [n for n in names if not isinstance(n, str) or not n.strip() or len(n) > _NAME]
    if wrong:
        raise NotRead(f"names a point {shortened(repr(wrong[0]), 60)}")
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise NotRead(f"names two points {shortened(twice, 60)!r}")
    if None in rows or len(set(rows)) < len(rows) or min(r for r in rows if r is not None) < 0:
        raise NotRead("gives a point no row of its own")
    steps = _whole(table["step"], "step", LARGEST_STEP) if "step" in table else [None] * len(rows)
    layers = _whole(table["layer"], "layer", LARGEST_STEP, 0) if "layer" in table else None
    said = {column: _texts(table[column]) for column in table.columns if is_said(column)}
    said["step"] = [None if step is None else str(step) for step in steps]
    measured = {
        column: pd.to_numeric(table[column], errors="coerce").tolist()
        for column in ("bits_per_byte", "noise_kl")
        if column in table
    }
    of_run = _tags_of_run(run)
    info, tags = run.info, run.data.tags
    identity = tags.get(schema.TAG_IDENTITY) or info.run_id
    begun = started(run)
    found = []
    for at, (name, row) in enumerate(zip(names, rows, strict=True)):
        cells = ((column, values[at]) for column, values in said.items())
        own = {column: cell for column, cell in cells if cell is not None}
        numbers = {column: _number(values[at]) for column, values in measured.items()}
        params = {column: own.pop(column) for column in PARAMS if column in own}
        found.append(
            Point(
                run_id=info.run_id,
                name=name,
                model=own.get("model") or name,
                text_set=tags.get(schema.TAG_TEXT_SET) or "",
                artifact_uri=info.artifact_uri,
                experiment_id=info.experiment_id,
                start_time=begun,
                step=steps[at],
                layer=None if layers is None else layers[at],
                text_set_name=tags.get(schema.TAG_TEXT_SET_NAME) or None,
                identity=f"{identity}@{row}",
                vectors=schema.VECTORS,
                row=row,
                tags={**of_run, **_as_tags(own), "mlflow.runName": name},
                bos_applied=YES_OR_NO.get(params.get(schema.PARAM_BOS_APPLIED, "")),
                read_as={n: params[n] for n in schema.READ_AS if n in params},
                prompted={n: params[n] for n in schema.PROMPTED if n in params},
                revision=own.get("revision"),
                commit=own.get("commit"),
                trajectory=own.get("trajectory"),
                model_type=own.get("model_type"),
                base_model=own.get("base_model"),
                precision=own.get("precision"),
                bits_per_byte=numbers.get("bits_per_byte"),
                noise_kl=numbers.get("noise_kl"),
            )
        )
    return found


def _tags_of_run(run: Run) -> dict[str, str]:
    """What the run's own tags say of all of its points."""
    of_one = {schema.TAG_IDENTITY, *TAG_OF.values()}
    return {name: value for name, value in run.data.tags.items() if name not in of_one}


def _as_tags(own: Mapping[str, str]) -> dict[str, str]:
    return {TAG_OF.get(column, column): value for column, value in own.items()}


def _matching(points: list[Point], run: Run, filter: str) -> list[Point]:
    """Those points that a filter would find, were each a run of its own."""
    asked = [_as_run(point, run) for point in points]
    return [one.point for one in SearchUtils.filter(asked, filter)]


def _as_run(point: Point, run: Run) -> SimpleNamespace:
    """What MLflow's own filter asks of a run."""
    params = {**run.data.params, **point.read_as, **point.prompted}
    if point.bos_applied is not None:
        params[schema.PARAM_BOS_APPLIED] = str(point.bos_applied).lower()
    metrics = {
        schema.METRIC_BITS_PER_BYTE: point.bits_per_byte,
        schema.METRIC_NOISE_KL: point.noise_kl,
    }
    known = {name: value for name, value in metrics.items() if value is not None}
    return SimpleNamespace(
        point=point,
        data=SimpleNamespace(tags=point.tags, params=params, metrics=known),
        info=SimpleNamespace(**{**dict(run.info), "run_name": point.name}),
        inputs=run.inputs,
    )


def _number(value: Any) -> float | None:
    number = float(value)
    return finite(number) if number == number else None


def _texts(column: pd.Series) -> list[str | None]:
    """The cells as text; None for empty ones."""
    held = column.astype(object).where(column.notna(), None).tolist()
    return [None if cell is None or cell == "" else str(cell) for cell in held]


def _whole(column: pd.Series, name: str, most: int, least: int | None = None) -> list[int | None]:
    """The cells as whole numbers; None for empty ones."""
    numbers = pd.to_numeric(column, errors="coerce")
    if (numbers.isna() & column.notna()).any():
        raise NotRead(f"holds something else than numbers in the column {name}")
    found: list[int | None] = []
    for cell in numbers.astype(object).where(numbers.notna(), None).tolist():
        if cell is None:
            found.append(None)
            continue
        low = -most if least is None else least
        if not low <= cell <= most or int(cell) != cell:
            raise NotRead(f"holds the {name} {cell}, which is no whole number that counts one")
        found.append(int(cell))
    return found
