"""Tracking: tags that a gate or a lineage study writes on the versions of registered models."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking.registry.versions import RegisteredVersion
from mlflow_modelmap.tracking.store.failures import STORE_ERRORS
from mlflow_modelmap.words.reason import reason


def tag_version(name: str, version: str, tags: Mapping[str, object], store: MlflowClient) -> None:
    """Set tags on a version of a registered model.

    Raises
    ------
    TrackingError
        If the registry does not take them.
    """
    try:
        for key, value in tags.items():
            store.set_model_version_tag(name, version, key, str(value))
    except STORE_ERRORS as error:
        raise TrackingError(
            f"Version {version} of {name!r} cannot be tagged: {reason(error)}."
        ) from error


def write_back(
    version: RegisteredVersion, tags: Mapping[str, object], store: MlflowClient
) -> str | None:
    """As `tag_version`, but a sentence comes back where the registry refuses."""
    try:
        tag_version(version.name, version.version, tags, store)
    except TrackingError as error:
        return str(error)
    return None
