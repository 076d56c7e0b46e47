"""Driver: where a model's files are on this machine - a whole model, or an adapter on its base."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from dataclasses import replace

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.scoring.model.adapter import Adapter, check_peft, read_adapter
from mlflow_modelmap.scoring.model.config import brings_own_code
from mlflow_modelmap.scoring.model.folder import (
    check_tokenizer,
    file_digest,
    local_files,
    weights_in,
)
from mlflow_modelmap.scoring.model.reference import (
    HUB,
    LOCAL,
    ModelFiles,
    ModelReference,
    is_gguf,
)
from mlflow_modelmap.scoring.model.weight_files import ADAPTER, adapter_refused
from mlflow_modelmap.words.reason import reason


def resolve_model(
    reference: ModelReference,
    *,
    base: ModelReference | None = None,
    refused: str | None = None,
    tokenizer: str | None = None,
    weights: bool = True,
) -> ModelFiles:
    """Where a model's files are on this machine, fetched if need be; of an adapter with its base.

    Parameters
    ----------
    base
        The base model of an adapter; by default the one that the adapter names.
    refused
        Why pickled weights are refused, or None; see `weight_files.check_has_weights`.
    tokenizer
        Where its tokenizer is, if not beside it: written as a model is.
    weights
        Whether weights of the Hub are fetched, or only what the model is.

    Raises
    ------
    InputError
        If it is not there, gated, no causal language model, or an adapter whose base is not.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    folder = None if tokenizer is None else resolve_tokenizer(tokenizer_reference(tokenizer))
    found = _model_or_adapter(reference, refused, folder, weights)
    if isinstance(found, ModelFiles):
        if base is not None:
            raise InputError(
                f"{str(reference)!r} is a whole model and no adapter, so that it has no base to be "
                f"applied to ({str(base)!r} was given); leave the base out."
            )
        return found
    check_peft(f"the model {str(reference)!r}")
    made = found.on(_base(found, base, refused, folder, weights))
    if folder is not None:
        return replace(made, tokenizer_path=folder)
    _check_tokens_of_gguf(made)
    return made


def whole_model(reference: ModelReference, *, refused: str | None = None) -> ModelFiles:
    """As `resolve_model`, for places that cannot take an adapter.

    Raises
    ------
    InputError
        If it is one, or as `resolve_model`.
    """
    found = _model_or_adapter(reference, refused)
    if isinstance(found, Adapter):
        raise adapter_refused(repr(str(reference)), found.base)
    return found


def check_base_code(files: ModelFiles) -> None:
    """Raise an InputError if the base of an adapter, which its user did not name, brings code.

    To be asked where code may run: that was allowed for what the user wrote.
    """
    if files.adapter is not None and brings_own_code(files.model_path):
        raise InputError(
            f"The base model {files.adapter.base_name!r} of the adapter "
            f"{str(files.reference)!r} brings its own code, which is not run because the adapter "
            "named it and not you; read it, then name it with --base."
        )


def tokenizer_reference(written: str) -> ModelReference:
    """What a user means by a tokenizer: written as a model is.

    Raises
    ------
    InputError
        If it is none of the forms of a model, or a file.
    """
    path = os.path.expanduser(written)
    if os.path.isfile(path) and not is_gguf(path):
        raise InputError(f"{written!r} is a file; give the directory that holds the tokenizer.")
    return ModelReference.parse(written)


def resolve_tokenizer(reference: ModelReference) -> str:
    """The directory of a tokenizer on this machine, fetched without its model if it is the Hub's.

    Raises
    ------
    InputError
        If there is none.
    ScoringError, TrackingError
        If the Hub or the MLflow store cannot give it.
    """
    if _is_gguf(reference):
        return _gguf_files(reference, None).tokenizer_path
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub_parts import tokenizer_snapshot

        return tokenizer_snapshot(reference)
    if reference.kind == LOCAL:
        check_tokenizer(os.listdir(reference.name), repr(reference.name))
        return reference.name
    from mlflow_modelmap.tracking.registry.model_files import logged_tokenizer

    return logged_tokenizer(reference)


def _model_or_adapter(
    reference: ModelReference,
    refused: str | None,
    tokenizer: str | None = None,
    weights: bool = True,
) -> ModelFiles | Adapter:
    if _is_gguf(reference):
        return _gguf_files(reference, tokenizer)
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub import snapshot

        return snapshot(reference, refused, tokenizer, weights=weights)
    if reference.kind == LOCAL:
        if os.path.lexists(os.path.join(reference.name, ADAPTER)):
            return read_adapter(reference.name, reference, refused=refused)
        return local_files(reference.name, tokenizer, refused=refused)
    from mlflow_modelmap.tracking.registry.model_files import logged_model_files

    return logged_model_files(reference, refused, tokenizer)


def _is_gguf(reference: ModelReference) -> bool:
    if reference.kind == LOCAL:
        return is_gguf(reference.name) and os.path.isfile(reference.name)
    return reference.gguf is not None


def _gguf_files(reference: ModelReference, tokenizer: str | None) -> ModelFiles:
    """A GGUF file as the folder that it stands for, its tokenizer proved to be the one given."""
    if reference.kind == HUB:
        from mlflow_modelmap.scoring.model.hub_parts import fetch_file

        path, commit = fetch_file(reference)
    else:
        path, commit = reference.name, f"sha256:{file_digest(reference.name)}"
    status = os.stat(path)
    stamp = status.st_size, status.st_mtime_ns, status.st_ino
    with _one_at_a_time:  # of two that make the same one, the first would be removed
        folder = _gguf_folder(os.path.abspath(path), tokenizer is None, *stamp).name
    made = ModelFiles(reference, folder, tokenizer or folder, commit)
    _check_tokens_of_gguf(made)
    return made


def _check_tokens_of_gguf(files: ModelFiles) -> None:
    """Refuse another tokenizer than the one that a GGUF file lists, where it is not its own."""
    from mlflow_modelmap.scoring.model.gguf_file import WEIGHTS, check_same_tokens

    path = os.path.join(files.model_path, WEIGHTS)
    if files.tokenizer_path == files.model_path or not os.path.exists(path):
        return
    from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer

    check_same_tokens(os.path.realpath(path), load_tokenizer(files.tokenizer_path))


_one_at_a_time = threading.Lock()


@functools.cache  # all may be in use at once, by many workers
def _gguf_folder(path: str, own_tokenizer: bool, *_: int) -> tempfile.TemporaryDirectory[str]:
    """What a GGUF file stands for, as a folder; it lasts as long as it is remembered."""
    from mlflow_modelmap.scoring.model.gguf_file import write_folder

    folder = temporary_folder()
    write_folder(path, folder.name, own_tokenizer)
    return folder


def _base(
    adapter: Adapter,
    given: ModelReference | None,
    refused: str | None,
    tokenizer: str | None,
    weights: bool,
) -> ModelFiles:
    """The base of an adapter: as given, else what came with it, else what it names."""
    if given is None and adapter.base_path is not None:
        return weights_in(adapter.base_path, refused)
    wanted = given or adapter.named_base()
    try:
        found = _model_or_adapter(wanted, refused, tokenizer, weights)
    except InputError as error:
        if given is not None:
            raise
        raise InputError(
            f"The base model of the adapter {str(adapter.reference)!r} cannot be had: "
            f"{reason(error, 600)}, or name another with --base."
        ) from error
    if isinstance(found, Adapter):
        raise InputError(
            f"The base model {str(wanted)!r} of the adapter {str(adapter.reference)!r} is an "
            "adapter itself; merge that into its own base (`merge_and_unload()`), save it and name "
            "it with --base."
        )
    return found
