"""Driver: a model behind a server - what it is called there, and its tokenizer on this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from mlflow_modelmap.drivers.score.resolve import resolve_tokenizer, tokenizer_reference
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import (
    LOCAL,
    SERVED,
    ModelFiles,
    ModelReference,
    is_gguf,
)
from mlflow_modelmap.scoring.served.served_model import find_served
from mlflow_modelmap.scoring.settings import ENDPOINT, ScoringSettings


def served_reference(
    model: str | os.PathLike[str], revision: str | None, settings: ScoringSettings
) -> ModelReference:
    """What a user means by a model: of one behind a server also a name that only the server knows.

    Raises
    ------
    InputError
        As `ModelReference.parse`.
    """
    try:
        return ModelReference.parse(model, revision)
    except InputError:
        if settings.engine != ENDPOINT or not os.fspath(model).strip():
            raise
        return ModelReference(SERVED, os.fspath(model), revision)


def resolve_served(
    reference: ModelReference, settings: ScoringSettings, *, base: ModelReference | None = None
) -> ModelFiles:
    """A model behind the server of the settings, with its tokenizer fetched and nothing else.

    Its commit says which name at which address it was: what a server computes with, nobody knows.

    Raises
    ------
    InputError
        If the server does not serve it, or its tokenizer is not there.
    ScoringError
        If the server does not answer.
    """
    if base is not None:
        raise InputError(
            "A server applies its adapters itself; give the name by which it serves the adapter, "
            "and no base."
        )
    assert settings.url is not None
    written = str(reference)
    served = find_served(settings.url, written, settings.served_model)
    tokenizer = settings.tokenizer or written
    try:
        folder = resolve_tokenizer(tokenizer_reference(tokenizer))
    except InputError as error:
        if settings.tokenizer:
            raise
        raise InputError(
            f"The tokenizer of {written!r} is needed here and is not known: {error} Give it with "
            "--tokenizer (tokenizer=)."
        ) from None
    local = reference.kind == LOCAL and not is_gguf(reference.name)
    of = hashlib.sha256(f"{served.url}\n{served.name}".encode()).hexdigest()
    return ModelFiles(
        reference,
        reference.name if local else folder,
        folder,
        f"served:{of[:32]}",
        served=replace(served, own_folder=local or not settings.tokenizer),
    )
