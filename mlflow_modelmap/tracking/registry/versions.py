"""Tracking: versions of registered models - all that a filter finds, or the one that is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.scoring.model.reference import REGISTRY, ModelReference
from mlflow_modelmap.tracking.store.client import client
from mlflow_modelmap.tracking.store.failures import STORE_ERRORS, failed, is_malformed, is_missing
from mlflow_modelmap.tracking.store.in_filter import in_filter
from mlflow_modelmap.tracking.store.paging import MODELS_A_PAGE, every
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact

_COPIED = re.compile(r"models:/([^/@]+)/(\d+)/?")
_LOGGED = re.compile(r"models:/(m-\w+)/?")
VERSIONED = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>[^/]+)/?")
_ALIASED = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/]+)/?")


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model.

    Attributes
    ----------
    name, version
        Together its place in the registry; `label` and `uri` are made from them.
    source
        Where its files are, or None.
    run_id, model_id
        The run and the logged model that it comes from, or None.
    aliases, tags, model_tags
        Its own, and the registered model's tags.
    newest
        Whether it is the registered model's latest version.
    """

    name: str
    version: str
    source: str | None = None
    run_id: str | None = None
    model_id: str | None = None
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    model_tags: Mapping[str, str] = field(default_factory=dict)
    newest: bool = False

    @property
    def label(self) -> str:
        """``name/version``."""
        return f"{self.name}/{self.version}"

    @property
    def uri(self) -> str:
        """``models:/name/version``."""
        return f"models:/{self.label}"

    def called(self) -> list[str]:
        """All that people may write when they mean this version."""
        names = [self.label, self.uri]
        for alias in self.aliases:
            names += [f"{self.name}@{alias}", f"models:/{self.name}@{alias}"]
        if self.model_id and not self.copied_from():
            names += [self.model_id, f"models:/{self.model_id}"]
        if self.newest:
            names += [self.name, f"models:/{self.name}", f"models:/{self.name}/latest"]
        return names

    def copied_from(self) -> str | None:
        """The ``name/version`` that this one is a copy of, if any."""
        match = _COPIED.fullmatch(self.source or "")
        return f"{match[1]}/{match[2]}" if match else None


def registered_versions(
    filter: str, store: MlflowClient, notices: list[str]
) -> list[RegisteredVersion]:
    """All versions of the registered models that match a filter, such as ``name LIKE 'team-%'``.

    Raises
    ------
    InputError
        If the filter is malformed, nothing matches, or no version is there.
    TrackingError
        If the registry cannot answer.
    """
    try:
        models = every(
            lambda most, token: store.search_registered_models(
                filter, max_results=most, page_token=token
            ),
            MODELS_A_PAGE,
        )
        versions = {model.name: versions_of(model.name, store) for model in models}
    except STORE_ERRORS as error:
        if not is_malformed(error):
            raise failed("Registered models cannot be read", store.tracking_uri, error) from error
        raise InputError(
            f"MLflow cannot search registered models with {filter!r}: {reason(error)}"
        ) from error
    if not models:
        raise InputError(
            f"No registered model in {redact(store.tracking_uri)!r} matches {filter!r}; write a "
            "filter such as \"name LIKE 'team-%'\"."
        )
    found: list[RegisteredVersion] = []
    for model in sorted(models, key=lambda model: model.name):
        own = versions[model.name]
        if not own:
            notices.append(f"The registered model {model.name!r} has no versions.")
        aliases: dict[str, list[str]] = {}
        for alias, version in (model.aliases or {}).items():
            aliases.setdefault(str(version), []).append(alias)
        found += [
            RegisteredVersion(
                name=model.name,
                version=str(version.version),
                source=version.source or None,
                run_id=version.run_id or None,
                model_id=version.model_id or logged_model_in(version.source),
                aliases=tuple(sorted(aliases.get(str(version.version), ()))),
                tags=dict(version.tags),
                model_tags=dict(model.tags),
                newest=version is own[-1],
            )
            for version in own
        ]
    if not found:
        raise InputError(
            f"None of the {len(models)} registered models that match {filter!r} has a version; "
            "register one first."
        )
    return found


def versions_of(name: str, store: MlflowClient) -> list[ModelVersion]:
    """All versions of a registered model, oldest first; none where there is no such model."""
    quoted = in_filter(name)
    found = every(
        lambda most, token: store.search_model_versions(
            f"name={quoted}" if quoted else None, max_results=most, page_token=token
        )
    )
    own = [version for version in found if version.name == name]
    return sorted(own, key=lambda version: int(version.version))


def logged_model_in(source: str | None) -> str | None:
    """The id in a source such as ``models:/m-0123``; not every store has it apart."""
    match = _LOGGED.fullmatch(source or "")
    return match[1] if match else None


def fixed_version(reference: ModelReference) -> ModelReference:
    """``models:/name@alias`` and ``models:/name/latest`` as the version they stand for now.

    Any other reference comes back as it is.

    Raises
    ------
    InputError, TrackingError
        If the registry has no such version, or cannot be asked.
    """
    moving = _ALIASED.fullmatch(reference.name) or VERSIONED.fullmatch(reference.name)
    if reference.kind != REGISTRY or moving is None:
        return reference
    version = with_version(reference, client()).revision
    return replace(reference, name=f"models:/{moving['name']}/{version}")


def registered_version(reference: ModelReference) -> tuple[str, str] | None:
    """Name and version of a ``models:/name/version`` reference, or None for any other."""
    written = VERSIONED.fullmatch(reference.name) if reference.kind == REGISTRY else None
    if written is None or not written["version"].isdecimal():
        return None
    return written["name"], written["version"]


def with_version(reference: ModelReference, store: MlflowClient) -> ModelReference:
    """A ``models:/`` reference with the version that it stands for as its revision.

    Raises
    ------
    InputError, TrackingError
        If the registry has no such version, or cannot be asked.
    """
    aliased = _ALIASED.fullmatch(reference.name)
    try:
        if aliased:
            found = store.get_model_version_by_alias(aliased["name"], aliased["alias"])
            return replace(reference, revision=str(found.version))
        versioned = VERSIONED.fullmatch(reference.name)
        if versioned:
            version = versioned["version"]
            if version == "latest":
                own = versions_of(versioned["name"], store)
                version = own[-1].version if own else "0"
            found = store.get_model_version(versioned["name"], version)
            return replace(reference, revision=str(found.version))
    except STORE_ERRORS as error:
        raise no_model(reference, error, store) from error
    return reference


def no_model(
    reference: ModelReference, error: Exception, store: MlflowClient
) -> InputError | TrackingError:
    """The sentence for a model that MLflow does not give: it is not there, or the store failed."""
    if is_missing(error):
        return InputError(
            f"There is no model {reference.name!r} in {redact(store.tracking_uri)!r} "
            f"({reason(error)}); look up its name and version in the MLflow UI."
        )
    return failed(f"The model {reference.name!r} cannot be fetched", store.tracking_uri, error)
