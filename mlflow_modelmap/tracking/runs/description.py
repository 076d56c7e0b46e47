"""Tracking: what the MLflow UI shows as the description of a study's run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.tracking import schema


def description(kind: str, run_id: str, tags: Mapping[str, Any]) -> str:
    """What the UI shows as a study's description: what is said of it, and its view on the page."""
    members = tags.get(schema.TAG_MEMBERS)
    said = (
        tags.get(schema.TAG_NOTE) or f"{kind.capitalize()}{f' of {members} runs' * bool(members)}."
    )
    if kind in schema.WITHOUT_VIEW:
        return said
    # Beside the UI's own address, under whichever prefix the server has.
    return (
        f"{said}\n\n[Explore it on the model map's page](modelmap/?run={run_id}), which "
        "`mlflow server --app-name modelmap` serves."
    )
