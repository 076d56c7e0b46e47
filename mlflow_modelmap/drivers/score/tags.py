"""Driver: the tags of a score - on a model's run, an evaluation's and a monitored training's."""

from __future__ import annotations

from typing import Any

from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.scoring.model.reference import tag_name
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema


def score_tags(
    texts: TextSet,
    said: PointFields,
    *,
    model: str | None,
    model_type: str | None,
    precision: str | None,
    revision: str | None = None,
    commit: str | None = None,
    identity: str | None = None,
    int8_threshold: float | None = None,
) -> dict[str, Any]:
    """The ``modelmap.*`` tags of a model on a text set; None where there is nothing to say.

    Parameters
    ----------
    said
        What whoever asked says of the model.
    model, revision, commit
        As referred to, and resolved; a directory by its real path.
    model_type
        What its configuration says, where `said` says nothing.
    precision
        What its weights are, as resolved.
    identity
        Of the score, if it has one by which it can be found again.
    int8_threshold
        Of LLM.int8; None or 0 where no outliers are kept apart.
    """
    return {
        schema.TAG_MODEL: model,
        schema.TAG_REVISION: revision,
        schema.TAG_COMMIT: commit,
        schema.TAG_TRAJECTORY: said.trajectory,
        schema.TAG_STEP: said.step,
        schema.TAG_MODEL_TYPE: said.model_type or model_type,
        schema.TAG_BASE_MODEL: tag_name(said.base_model),
        schema.TAG_PRECISION: precision,
        schema.TAG_INT8_THRESHOLD: f"{int8_threshold:g}" if int8_threshold else None,
        schema.TAG_TEXT_SET: texts.digest,
        schema.TAG_TEXT_SET_NAME: texts.name,
        schema.TAG_TEXT_WEIGHTS: texts.weights_digest,
        schema.TAG_IDENTITY: identity,
    }
