"""Tracking: params, tags and names longer than MLflow keeps - cut visibly, values kept whole."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import read_artifact
from mlflow_modelmap.words.shortened import shortened

PARAM_CHARACTERS = 6000
TAG_CHARACTERS = 8000
RUN_NAME_CHARACTERS = 250
"""Database servers refuse a longer one; sqlite counts nothing."""


def cut(value: str, most: int) -> str:
    """The beginning of a value that is longer than `most`, and where the whole is."""
    end = f" ... ({len(value)} characters; whole in {schema.LONG_VALUES})"
    return value[: most - len(end)] + end


def run_name(name: str) -> str:
    """A name as every store keeps it: its beginning and its end, where it is too long."""
    return shortened(name, RUN_NAME_CHARACTERS)


def whole_params(run: Run, store: MlflowClient) -> dict[str, str]:
    """The params of a run, those that were cut as they were before.

    Raises
    ------
    TrackingError
        If one was cut and the artifact that holds it is missing or damaged.
    """
    params: Mapping[str, str] = run.data.params
    shortened = [
        name for name, value in params.items() if value.endswith(f"in {schema.LONG_VALUES})")
    ]
    if not shortened:
        return dict(params)
    name = schema.LONG_VALUES.removeprefix(f"{schema.ARTIFACT_FOLDER}/")
    whole = read_artifact(run.info.run_id, run.info.artifact_uri, name, store)
    if not isinstance(whole, dict):
        raise TrackingError(
            f"Run {run.info.run_id} is damaged: its artifact {schema.LONG_VALUES} holds a "
            f"{type(whole).__name__}, not values by name; make it again."
        )
    return {**params, **{name: str(whole.get(f"param {name}", params[name])) for name in shortened}}
