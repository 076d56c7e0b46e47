"""Driver: a run's name that another model has already, so that the two would be taken for one."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.long_values import run_name
from mlflow_modelmap.tracking.runs.search import search_scores
from mlflow_modelmap.tracking.store.in_filter import in_filter
from mlflow_modelmap.words.redact import redact
from mlflow_modelmap.words.shortened import shortened

_WHICH = {
    schema.TAG_MODEL: "model",
    schema.TAG_REVISION: "revision",
    schema.TAG_PRECISION: "precision",
    schema.TAG_TRAJECTORY: "trajectory",
    schema.TAG_STEP: "step",
    schema.TAG_ADAPTER_BASE: "adapter's base",
    schema.TAG_PROMPT: "prompt",
}
"""What makes a model another one; its content may change under its name, as a training goes on."""


def check_name(prepared: Prepared, experiment_id: str, store: MlflowClient) -> None:
    """Whether no other model of an experiment has the name that the user gives this one.

    Raises
    ------
    InputError
        If a finished score of another model has it.
    """
    name = prepared.request.name
    if name is None:
        return
    name = run_name(name)
    quoted = in_filter(name)  # else all are read
    asked = f"attributes.run_name = {quoted}" if quoted else None
    for point in search_scores([experiment_id], asked, store):
        if point.tags.get(MLFLOW_RUN_NAME) != name:
            continue
        for tag, what in _WHICH.items():
            own = prepared.tags.get(tag)
            said, other = None if own is None else redact(str(own)), point.tags.get(tag)
            if said != other:
                raise InputError(
                    f"The name {shortened(name)!r} belongs to another model in this experiment "
                    f"(run {point.run_id}: {what} {shortened(other or 'none')!r}, not "
                    f"{shortened(said or 'none')!r}); give another name or another experiment."
                )
