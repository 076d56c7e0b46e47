"""Driver: all that is known of a score before any weights are read - files, precision, identity."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.tags import score_tags
from mlflow_modelmap.scoring.identity import identity
from mlflow_modelmap.scoring.identity_of_0_1_0 import identity_of_0_1_0
from mlflow_modelmap.scoring.load.precision import resolve
from mlflow_modelmap.scoring.model.config import model_type, read_config
from mlflow_modelmap.scoring.model.folder import (
    check_tokenizer,
    file_digest,
    tokenizer_digest,
)
from mlflow_modelmap.scoring.model.reference import (
    HUB,
    LOCAL,
    ModelFiles,
    ModelReference,
    is_gguf,
)
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.texts.text_set import TextSet


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request whose files are at hand, and the texts; plain values that can go anywhere.

    Attributes
    ----------
    request, texts
        What is to be scored on what.
    files
        Where the model lies on this machine.
    precision
        As resolved: what ``auto`` comes to here.
    identity
        Of the score.
    identities
        All by which it may be found: its own, and the one that version 0.1.0 gave it.
    tags
        The ``modelmap.*`` tags of its run.
    """

    request: ScoreRequest
    texts: TextSet
    files: ModelFiles
    precision: str
    identity: str
    identities: tuple[str, ...]
    tags: Mapping[str, Any]


def prepare(request: ScoreRequest, texts: TextSet) -> Prepared:
    """Find the model's files, what will be done with them, and the identity of the score.

    Raises
    ------
    InputError
        If the model is not there or no causal language model, or the precision or device does not
        go with it or this machine.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    tokenizer = request.settings.tokenizer
    files = resolve_model(request.reference, tokenizer)
    config = read_config(files.model_path)
    precision, device = resolve(request.settings, config)
    made_from = (
        files.commit,
        texts.digest,
        precision,
        device.partition(":")[0],
        request.settings,
        request.labels(),
        texts.weights_digest,
    )
    of_tokenizer = None if tokenizer is None else tokenizer_digest(files.tokenizer_path)
    own, former = identity(*made_from, of_tokenizer), identity_of_0_1_0(*made_from)
    stored = stored_quantization(config)
    threshold = request.settings.int8_threshold if stored is None else stored.int8_threshold
    tags = score_tags(
        texts,
        request,
        model=files.reference.name,
        revision=files.reference.revision,
        commit=files.commit,
        model_type=model_type(config),
        precision=precision,
        identity=own,
        int8_threshold=threshold if precision == "int8" else None,
    )
    identities = (own,) if former is None else (own, former)
    return Prepared(request, texts, files, precision, own, identities, tags)


def resolve_model(reference: ModelReference, tokenizer: str | None = None) -> ModelFiles:
    """Where a model's files are on this machine, fetched if need be.

    Parameters
    ----------
    tokenizer
        Where its tokenizer is, if not beside it: written as a model is.

    Raises
    ------
    InputError
        If it is not there, gated, or no causal language model.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    folder = None if tokenizer is None else resolve_tokenizer(ModelReference.parse(tokenizer))
    if reference.gguf is not None or (reference.kind == LOCAL and is_gguf(reference.name)):
        return _gguf_files(reference, folder)
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub import snapshot

        return snapshot(reference, folder)
    if reference.kind == LOCAL:
        from mlflow_modelmap.scoring.model.folder import local_files

        return local_files(reference.name, folder)
    from mlflow_modelmap.tracking.registry.model_files import logged_model_files

    return logged_model_files(reference, folder)


def _gguf_files(reference: ModelReference, tokenizer: str | None) -> ModelFiles:
    """A GGUF file as the folder that it stands for, its tokenizer proved to be the one given."""
    from mlflow_modelmap.scoring.model.gguf_file import check_same_tokens, gguf_folder

    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub import fetch_file

        path, commit = fetch_file(reference)
    else:
        path, commit = reference.name, f"sha256:{file_digest(reference.name)}"
    folder = gguf_folder(path, tokenizer is None)
    if tokenizer is not None:
        from mlflow_modelmap.scoring.tokenizer.tokenize import load_tokenizer

        check_same_tokens(path, load_tokenizer(tokenizer))
    return ModelFiles(reference, folder, tokenizer or folder, commit)


def resolve_tokenizer(reference: ModelReference) -> str:
    """The directory of a tokenizer on this machine, fetched without its model if it is the Hub's.

    Raises
    ------
    InputError
        If there is none.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub import tokenizer_snapshot

        return tokenizer_snapshot(reference)
    if reference.kind == LOCAL:
        check_tokenizer(os.listdir(reference.name), repr(reference.name))
        return reference.name
    from mlflow_modelmap.tracking.registry.model_files import logged_tokenizer

    return logged_tokenizer(reference)
