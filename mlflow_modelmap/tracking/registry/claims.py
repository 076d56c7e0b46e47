"""Tracking: what tags and links in the registry and on runs say about a model's parents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import RegisteredVersion
from mlflow_modelmap.words.reason import reason

PARENT_TAGS = (schema.TAG_BASE_MODEL, "base_model")
RELATION_TAGS = (schema.TAG_BASE_MODEL_RELATION, "base_model_relation")

VERSION_TAG, MODEL_TAG, RUN_TAG = "model version tag", "registered model tag", "run tag"
LINK, HUB_METADATA, PRECISION = "MLflow link", "Hub metadata", "precision"
"""Where a claim comes from; the first three are the user's own, in this order of trust."""


@dataclass(frozen=True)
class Claim:
    """What one place says about a model's parents."""

    parents: tuple[str, ...]
    source: str
    relation: str | None = None


def claim_in(tags: Mapping[str, str], source: str) -> Claim | None:
    """What tags say: one parent, several separated by commas, or a JSON list."""
    for tag in PARENT_TAGS:
        parents = _written(tags.get(tag, ""))
        if parents:
            relation = next((tags[t] for t in RELATION_TAGS if tags.get(t)), None)
            return Claim(parents, source, relation or ("merge" if len(parents) > 1 else None))
    return None


def _written(value: str) -> tuple[str, ...]:
    value = value.strip()
    if value.startswith("["):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError):
            listed = value.strip("[]").split(",")
        parts = [str(part) for part in listed]
    else:
        parts = value.split(",")
    return tuple(dict.fromkeys(filter(None, (part.strip(" \t\"'") for part in parts))))


def version_claims(
    version: RegisteredVersion, store: MlflowClient, notices: list[str]
) -> list[Claim]:
    """What the registry and MLflow's links say about a version's parents, most trusted first.

    Links are tags of the logged model behind it, and logged models that its run took as input.
    A version that the registry made by copying another is that one's copy before all else, for
    it bears the other's tags.
    """
    copied = version.copied_from()
    claims = [Claim((f"models:/{copied}",), LINK, "copy") if copied else None]
    claims += [claim_in(version.tags, VERSION_TAG), claim_in(version.model_tags, MODEL_TAG)]
    run = model = None
    try:
        run = store.get_run(version.run_id) if version.run_id else None
        model = store.get_logged_model(version.model_id) if version.model_id else None
    except MlflowException as error:
        notices.append(f"What {version.label!r} comes from cannot be read: {reason(error)}")
    claims.append(claim_in(run.data.tags, RUN_TAG) if run else None)
    claims.append(claim_in(model.tags or {}, LINK) if model else None)
    inputs = [i.model_id for i in run.inputs.model_inputs] if run and run.inputs else []
    inputs = [f"models:/{i}" for i in dict.fromkeys(inputs) if i != version.model_id]
    if inputs:
        claims.append(Claim(tuple(inputs), LINK, "merge" if len(inputs) > 1 else None))
    return [claim for claim in claims if claim is not None]


def disagreement(child: str, claims: Sequence[Claim]) -> str | None:
    """One sentence where a model's claims differ, and which one counts."""
    said = list(claims)
    if said[0].relation == "copy" or len({frozenset(claim.parents) for claim in said}) < 2:
        return None
    listed = "; ".join(f"{' and '.join(map(repr, c.parents))} ({c.source})" for c in said)
    return f"Parents of {child!r} disagree: {listed}; the first counts, so correct the others."
