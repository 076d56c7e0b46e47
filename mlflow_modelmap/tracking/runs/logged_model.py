"""Tracking: a scored point as one of MLflow's LoggedModels, so that its Models tab lists it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import logged_model_in
from mlflow_modelmap.tracking.runs.log_values import OfModel, OpenRun, tags_that_fit
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.store.failures import is_missing
from mlflow_modelmap.words.reason import reason_with_type
from mlflow_modelmap.words.shortened import shortened

SWITCH = "MLFLOW_MODELMAP_LOGGED_MODELS"
"""An environment variable; ``false`` turns LoggedModels off."""

_PARAMS = (
    *(schema.TAG_MODEL, schema.TAG_REVISION, schema.TAG_COMMIT, schema.TAG_TRAJECTORY),
    *(schema.TAG_STEP, schema.TAG_MODEL_TYPE, schema.TAG_BASE_MODEL, schema.TAG_PRECISION),
    *(schema.TAG_ADAPTER, schema.TAG_ADAPTER_BASE, schema.TAG_ENGINE, schema.TAG_PROMPT),
)
"""What tells one model from another; the rest of a run's tags are the LoggedModel's tags."""
_NOT_ITS_OWN = (schema.TAG_PROCESS, schema.TAG_HEARTBEAT, schema.TAG_VECTOR, schema.TAG_IDENTITY)
_NO_NAME = re.compile(r"[/:.%\"']")

_LONGEST_NAME = 500
"""Characters, as databases hold them."""

_log = logging.getLogger(__name__)
_refused: set[str] = set()
"""Runs whose store took no LoggedModel."""


def is_on() -> bool:
    """Whether points become LoggedModels here."""
    return os.environ.get(SWITCH, "true").strip().lower() not in ("false", "0", "no", "off")


def model_of(
    run: OpenRun,
    tags: Mapping[str, Any],
    dataset: TextSetDataset,
    *,
    name: str | None = None,
    step: int = 0,
) -> OfModel | None:
    """The LoggedModel whose metrics a score's are; None where there is to be none.

    A LoggedModel, and a registered version that was made from one, is that one, which becomes an
    input of the run. Anything else becomes one whose weights MLflow does not hold, an output.

    Parameters
    ----------
    tags
        Of the score.
    dataset
        That the metrics are of.
    name, step
        What it is called, by default as the run; at which step of the run it was made.

    Notes
    -----
    A store that cannot take it keeps the score none the less; a warning says so, and of further
    points of that run none is tried.
    """
    if not is_on() or run.run_id in _refused:
        return None
    texts = dataset._to_mlflow_entity()
    try:
        known = _known(run, tags.get(schema.TAG_MODEL))
        if known is not None:
            run.store.log_inputs(run.run_id, models=[LoggedModelInput(known)])
            return OfModel(known, texts.name, texts.digest)
        fit, _ = tags_that_fit({k: v for k, v in tags.items() if k not in _NOT_ITS_OWN})
        made = run.store.create_logged_model(
            run.experiment_id,
            name=_NO_NAME.sub("-", shortened(name or run.name, _LONGEST_NAME)) or None,
            source_run_id=run.run_id,
            tags={
                **{key: value for key, value in fit.items() if key not in _PARAMS},
                MLFLOW_MODEL_IS_EXTERNAL: "true",
            },
            params={key: fit[key] for key in _PARAMS if key in fit},
            model_type=fit.get(schema.TAG_MODEL_TYPE),
        )
        run.store.log_outputs(run.run_id, [LoggedModelOutput(made.model_id, step)])
        run.store.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
        return OfModel(made.model_id, texts.name, texts.digest)
    except Exception as error:  # of an older server, another store, a registry that is not there
        _refused.add(run.run_id)
        _log.warning(
            "%r is scored, but MLflow's Models tab will not list it: %s; %s=false stops trying.",
            name or run.name,
            reason_with_type(error),
            SWITCH,
        )
        return None


def _known(run: OpenRun, model: object) -> str | None:
    """The LoggedModel that was scored, or that the registered version was made from.

    None where the run's store does not hold it: a registry may lie in another one.
    """
    named = logged_model_in(str(model or ""))
    found = re.fullmatch(r"models:/([^/@]+)/(\d+)", str(model or ""))
    if named is None and found is not None:
        version = run.store.get_model_version(found[1], found[2])
        named = version.model_id or logged_model_in(version.source)
    if named is None:
        return None
    try:
        return str(run.store.get_logged_model(named).model_id)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
