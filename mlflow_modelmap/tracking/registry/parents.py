"""Tracking: what the Model Registry and runs say about parents, and what is written back there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.words.redact import redact

PARENT_TAGS = (schema.TAG_BASE_MODEL, "base_model")
RELATION_TAGS = ("modelmap.base_model_relation", "base_model_relation")

TAG_PARENT = "modelmap.parent"
TAG_KL_TO_PARENT = "modelmap.kl_to_parent"
TAG_KL_TO_PARENT_SE = "modelmap.kl_to_parent_se"
TAG_GENERATION = "modelmap.generation"
TAG_LINEAGE_RUN = "modelmap.lineage_run"

VERSION_TAG, MODEL_TAG, RUN_TAG = "model version tag", "registered model tag", "run tag"
LINK, HUB_METADATA, PRECISION = "MLflow link", "Hub metadata", "precision"
"""Where a claim comes from; the first three are the user's own, in this order of trust."""

_COPIED = re.compile(r"models:/([^/@]+)/(\d+)/?")
_LOGGED = re.compile(r"models:/(m-\w+)/?")


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


@dataclass(frozen=True)
class Claim:
    """What one place says about a model's parents."""

    parents: tuple[str, ...]
    source: str
    relation: str | None = None


def registered_versions(
    filter: str, store: MlflowClient, notices: list[str]
) -> list[RegisteredVersion]:
    """All versions of the registered models that match a filter, such as ``name LIKE 'team-%'``.

    Raises
    ------
    InputError
        If the filter is malformed, nothing matches, or no version is there.
    """
    try:
        models: list = []
        token = None
        while True:
            page = store.search_registered_models(filter, max_results=100, page_token=token)
            models += page
            token = page.token
            if not token:
                break
    except MlflowException as error:
        raise InputError(
            f"MLflow cannot search registered models with {filter!r}: {redact(error.message)}"
        ) from error
    if not models:
        raise InputError(
            f"No registered model in {redact(store.tracking_uri)!r} matches {filter!r}; write a "
            "filter such as \"name LIKE 'team-%'\"."
        )
    found: list[RegisteredVersion] = []
    for model in sorted(models, key=lambda model: model.name):
        versions = _versions(model.name, store)
        if not versions:
            notices.append(f"The registered model {model.name!r} has no versions.")
        newest = max((int(v.version) for v in versions), default=0)
        aliases: dict[str, list[str]] = {}
        for alias, version in (model.aliases or {}).items():
            aliases.setdefault(str(version), []).append(alias)
        found += [
            RegisteredVersion(
                name=model.name,
                version=str(version.version),
                source=version.source or None,
                run_id=version.run_id or None,
                model_id=version.model_id or _logged_model(version.source),
                aliases=tuple(sorted(aliases.get(str(version.version), ()))),
                tags=dict(version.tags),
                model_tags=dict(model.tags),
                newest=int(version.version) == newest,
            )
            for version in sorted(versions, key=lambda v: int(v.version))
        ]
    if not found:
        raise InputError(
            f"None of the {len(models)} registered models that match {filter!r} has a version; "
            "register one first."
        )
    return found


def _versions(name: str, store: MlflowClient) -> list:
    quoted = f'"{name}"' if "'" in name else f"'{name}'"
    versions: list = []
    token = None
    while True:
        page = store.search_model_versions(f"name={quoted}", max_results=1000, page_token=token)
        versions += page
        token = page.token
        if not token:
            return versions


def _logged_model(source: str | None) -> str | None:
    """The id in a source such as ``models:/m-0123``; not every store has it apart."""
    match = _LOGGED.fullmatch(source or "")
    return match[1] if match else None


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
        except ValueError:
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
        notices.append(f"What {version.label!r} comes from cannot be read: {redact(error.message)}")
    claims.append(claim_in(run.data.tags, RUN_TAG) if run else None)
    claims.append(claim_in(model.tags or {}, LINK) if model else None)
    inputs = [i.model_id for i in run.inputs.model_inputs] if run and run.inputs else []
    inputs = [f"models:/{i}" for i in dict.fromkeys(inputs) if i != version.model_id]
    if inputs:
        claims.append(Claim(tuple(inputs), LINK, "merge" if len(inputs) > 1 else None))
    return [claim for claim in claims if claim is not None]


def write_back(
    version: RegisteredVersion, tags: Mapping[str, object], store: MlflowClient
) -> str | None:
    """Tag a model version; a sentence comes back where the registry refuses."""
    try:
        for name, value in tags.items():
            store.set_model_version_tag(version.name, version.version, name, str(value))
    except MlflowException as error:
        return f"The registry refuses tags on {version.label!r}: {redact(error.message)}"
    return None


def disagreement(child: str, claims: Sequence[Claim]) -> str | None:
    """One sentence where a model's claims differ, and which one counts."""
    said = list(claims)
    if said[0].relation == "copy" or len({frozenset(claim.parents) for claim in said}) < 2:
        return None
    listed = "; ".join(f"{' and '.join(map(repr, c.parents))} ({c.source})" for c in said)
    return f"Parents of {child!r} disagree: {listed}; the first counts, so correct the others."
