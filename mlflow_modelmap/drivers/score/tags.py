"""Driver: the tags of a score - on a model's run, an evaluation's and a monitored training's."""

from __future__ import annotations

from typing import Any

from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.scoring.model.reference import AppliedAdapter, tag_name
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
    weights_format: str | None = None,
    adapter: AppliedAdapter | None = None,
    engine: str | None = None,
    alias: str | None = None,
    prompt: str | None = None,
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
    weights_format
        In which its weights were read.
    adapter
        What `model` is, where it is an adapter: its base counts as what it was made from.
    engine
        What computes.
    alias
        By which the model was asked for, where that stood for a version.
    prompt
        What prompts are under: a system's message, a template of the user's.
    """
    base = said.base_model or (adapter.base_name if adapter else None)
    return {
        schema.TAG_MODEL: model,
        schema.TAG_REVISION: revision,
        schema.TAG_COMMIT: commit,
        schema.TAG_TRAJECTORY: said.trajectory,
        schema.TAG_STEP: said.step,
        schema.TAG_MODEL_TYPE: said.model_type or model_type,
        schema.TAG_BASE_MODEL: tag_name(base),
        schema.TAG_PRECISION: precision,
        schema.TAG_INT8_THRESHOLD: f"{int8_threshold:g}" if int8_threshold else None,
        schema.TAG_TEXT_SET: texts.digest,
        schema.TAG_TEXT_SET_NAME: texts.name,
        schema.TAG_TEXT_WEIGHTS: texts.weights_digest,
        schema.TAG_IDENTITY: identity,
        schema.TAG_WEIGHTS_FORMAT: weights_format,
        schema.TAG_ENGINE: engine,
        schema.TAG_ALIAS: alias,
        schema.TAG_PROMPT: prompt,
        **(_of_adapter(adapter, model, not said.base_model) if adapter else {}),
    }


def _of_adapter(adapter: AppliedAdapter, model: str | None, base_is_parent: bool) -> dict[str, Any]:
    """Which adapter on which base, each with its commit; of one in training its kind."""
    base = adapter.base.name if adapter.base else None
    known = adapter.base_commit
    return {
        schema.TAG_ADAPTER: f"{model}@{adapter.commit}" if model else adapter.kind,
        schema.TAG_ADAPTER_BASE: f"{base}@{adapter.base_commit}" if base and known else base,
        schema.TAG_BASE_MODEL_RELATION: "adapter" if base_is_parent else None,
    }
