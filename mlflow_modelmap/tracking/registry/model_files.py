"""Tracking: models that MLflow keeps - registry and run references to files on this machine."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.adapter import Adapter, read_adapter
from mlflow_modelmap.scoring.model.folder import check_tokenizer, local_files
from mlflow_modelmap.scoring.model.reference import REGISTRY, ModelFiles, ModelReference
from mlflow_modelmap.scoring.model.weight_files import ADAPTER
from mlflow_modelmap.tracking.registry.versions import VERSIONED, no_model, with_version
from mlflow_modelmap.tracking.runs.artifacts import bytes_of
from mlflow_modelmap.tracking.runs.largest_sizes import TEXT
from mlflow_modelmap.tracking.store.client import client
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason, reason_with_type


def logged_model_files(
    reference: ModelReference, refused: str | None = None, tokenizer: str | None = None
) -> ModelFiles | Adapter:
    """The files of a ``models:/`` or ``runs:/`` reference: a whole model, or an adapter.

    Artifacts on this machine are used in place; others are fetched into a folder that lasts as
    long as the process. A registered model's version becomes the reference's revision.

    Parameters
    ----------
    refused
        Why pickled weights are refused, or None; see `weight_files.check_has_weights`.
    tokenizer
        Directory with the tokenizer, if the model is to have another one than its own.

    Raises
    ------
    InputError
        If there is no such model or artifact, or it is not a transformers model with its weights
        and tokenizer.
    TrackingError
        If the store cannot give it.
    """
    root, reference = _fetched(reference)
    return files_in(root, reference, refused, tokenizer)


def logged_tokenizer(reference: ModelReference) -> str:
    """The directory of the tokenizer of a ``models:/`` or ``runs:/`` reference.

    Raises
    ------
    InputError
        If there is no such model or artifact, or no tokenizer in it.
    TrackingError
        If the store cannot give it.
    """
    root, reference = _fetched(reference)
    component = root / "components" / "tokenizer"
    folder = component if component.is_dir() else root
    check_tokenizer(os.listdir(folder) if folder.is_dir() else (), repr(reference.name))
    return os.fspath(folder)


def _fetched(reference: ModelReference) -> tuple[Path, ModelReference]:
    """Where its artifacts are on this machine, and the reference with its version."""
    store = client()
    if reference.kind == REGISTRY:
        reference = with_version(reference, store)
    return _download(reference, store), reference


def _download(reference: ModelReference, store: MlflowClient) -> Path:
    uri = reference.name.rstrip("/")
    versioned = VERSIONED.fullmatch(uri)
    if versioned and versioned["version"] == "latest" and reference.revision:
        uri = f"models:/{versioned['name']}/{reference.revision}"
    temporary = Path(tempfile.gettempdir()).resolve()
    there = set(os.listdir(temporary))
    try:
        with quiet():
            # Without a destination MLflow gives local artifacts in place; others it fetches into a
            # temporary folder that nobody else would remove.
            path = Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, tracking_uri=store.tracking_uri
                )
            ).resolve()
    except MlflowException as error:
        raise no_model(reference, error, store) from error
    except OSError as error:
        raise InputError(
            f"There are no files behind {reference.name!r} ({reason(error)}); look up the "
            "artifact's path in the MLflow UI."
        ) from error
    if temporary in path.parents:
        fetched = temporary / path.relative_to(temporary).parts[0]
        if fetched.name not in there:
            atexit.register(shutil.rmtree, fetched, ignore_errors=True)
    return path


def files_in(
    root: Path, reference: ModelReference, refused: str | None = None, other: str | None = None
) -> ModelFiles | Adapter:
    """The files of a plain Hugging Face folder, or of what `mlflow.transformers` writes.

    Parameters
    ----------
    other
        Directory with the tokenizer, if it is to be another one than the model's own.

    Raises
    ------
    InputError
        If it is neither, or holds no weights.
    """
    described = root / "MLmodel"
    if not described.is_file():
        if (root / ADAPTER).is_file():
            return read_adapter(root, reference, refused=refused)
        if not (root / "config.json").is_file():
            inside = ", ".join(sorted(os.listdir(root))[:8]) if root.is_dir() else "a single file"
            raise InputError(
                f"{reference.name!r} is no model: it holds {inside or 'nothing'}, but neither a "
                "config.json nor an MLmodel file; name the folder that has one (GGUF files are "
                "read from this machine or the Hub)."
            )
        return local_files(root, other, reference, refused)
    flavors = _flavors(described, reference)
    flavor = flavors.get("transformers")
    if flavor is None:
        logged_as = (
            listed(sorted(map(str, flavors)), 8, quoted=False) if flavors else "nothing known"
        )
        raise InputError(
            f"{reference.name!r} was logged as {logged_as}, "
            "not with mlflow.transformers; log the model with mlflow.transformers.log_model, or "
            "log its folder as artifacts and name it as runs:/RUN_ID/path."
        )
    if flavor.get("peft_adaptor"):
        return _adapter(root, flavor, reference, refused)
    model = root / str(flavor.get("model_binary") or "model")
    if not model.is_dir():
        source = flavor.get("source_model_name")
        revision = flavor.get("source_model_revision")
        hub = f"{source}@{revision}" if revision else source
        raise InputError(
            f"{reference.name!r} was logged without weights"
            + (f", as a mere pointer to {hub!r}; score that instead." if hub else "; log them.")
        )
    tokenizer = root / "components" / "tokenizer"
    if other is not None:
        return local_files(model, other, reference, refused)
    if not tokenizer.is_dir():
        raise InputError(
            f"{reference.name!r} was logged without a tokenizer; log the model as "
            "{'model': model, 'tokenizer': tokenizer}."
        )
    return local_files(model, tokenizer, reference, refused)


def _adapter(
    root: Path, flavor: Mapping[str, Any], reference: ModelReference, refused: str | None
) -> Adapter:
    """An adapter as `mlflow.transformers` logs it: its base is named, or lies beside it."""
    folder, tokenizer = root / str(flavor["peft_adaptor"]), root / "components" / "tokenizer"
    if not (folder / ADAPTER).is_file():
        raise InputError(
            f"{reference.name!r} was logged as an adapter, but its folder {folder.name!r} holds no "
            f"{ADAPTER}; log the model again."
        )
    found = read_adapter(
        folder,
        reference,
        tokenizer_path=str(tokenizer) if tokenizer.is_dir() else None,
        refused=refused,
    )
    if flavor.get("model_binary") and (model := root / str(flavor["model_binary"])).is_dir():
        return replace(found, base_path=str(model))
    base = flavor.get("local_base_model_path") or flavor.get("source_model_name") or found.base
    pinned = flavor.get("source_model_revision")
    return replace(
        found,
        base=str(base) if base else None,
        base_revision=str(pinned) if pinned else found.base_revision,
    )


def _flavors(described: Path, reference: ModelReference) -> dict[str, Any]:
    """What an MLmodel file says of each flavor that the model was logged in."""
    try:
        written = yaml.safe_load(bytes_of(described, TEXT)) or {}
        flavors = written.get("flavors") or {}
        return {str(name): dict(said or {}) for name, said in flavors.items()}
    except Exception as error:  # of YAML, and of what stands where a mapping should
        raise InputError(
            f"The MLmodel file of {reference.name!r} cannot be read ({reason_with_type(error)}); "
            "log the model again."
        ) from None
