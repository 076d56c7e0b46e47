"""Scoring (no torch here): models of the Hugging Face Hub, fetched before they are loaded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.folder import (
    TELLING_FILES,
    check_causal,
    check_model,
    check_names,
    check_tokenizer,
    local_files,
)
from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, ModelFiles, ModelReference
from mlflow_modelmap.scoring.model.weight_files import weight_names
from mlflow_modelmap.scoring.tokenizer.files import holds_tokenizer
from mlflow_modelmap.words.reason import reason

Result = TypeVar("Result")

# Seconds for one answer of the Hub, and for all that its first answer may take: name resolution
# and a dead network's every address have no time limit of their own.
ANSWER_SECONDS = 4.0
DEADLINE_SECONDS = 8.0


def snapshot(reference: ModelReference, tokenizer: str | None = None) -> ModelFiles:
    """Fetch a Hub model's configuration, tokenizer and safetensors, and say which commit it is.

    What is in the local cache is not fetched again. If the Hub cannot be reached, the cache
    alone must do; a full commit hash that is there completely does not even ask.

    Parameters
    ----------
    reference
        A Hub model; a local directory is passed on to `local_files`.
    tokenizer
        Directory with the tokenizer, if the model is to have another one than its own.

    Raises
    ------
    InputError
        If the model or the revision does not exist, is gated, is not in reach, or is no causal
        language model in safetensors with a tokenizer.
    """
    if reference.kind == LOCAL:
        return local_files(reference.name, tokenizer, reference)
    if reference.kind != HUB:
        raise InputError(f"{reference.name!r} is no model of the Hugging Face Hub.")
    cached = _cached(reference)
    if cached is not None and os.path.basename(cached) == reference.revision:
        files = _files(reference, cached, tokenizer)
        if files is not None:
            return files
    try:
        return _fetched(reference, tokenizer)
    except InputError:
        raise
    except Exception as error:
        if _final(error):
            raise InputError(_told(reference, error)) from error
        files = None if cached is None else _files(reference, cached, tokenizer)
        if files is not None:
            return files
        raise InputError(_told(reference, error, cached is not None)) from error


def tokenizer_snapshot(reference: ModelReference) -> str:
    """Fetch a Hub repository's tokenizer and no weights; the directory that holds it.

    Raises
    ------
    InputError
        As `snapshot`; or if the repository has no tokenizer.
    """
    import huggingface_hub

    what = f"{str(reference)!r}"
    try:
        info = _info(reference)
        names = _top(info)
        check_tokenizer(names, what)
        return huggingface_hub.snapshot_download(
            reference.name,
            revision=reference.revision,
            allow_patterns=[pattern for pattern in TELLING_FILES if "/" not in pattern],
            ignore_patterns=["*/*"],
            etag_timeout=ANSWER_SECONDS,
        )
    except InputError:
        raise
    except Exception as error:
        cached = None if _final(error) else _cached(reference, "tokenizer_config.json")
        if cached is not None and holds_tokenizer(os.listdir(cached)):
            return cached
        raise InputError(_told(reference, error)) from error


def fetch_file(reference: ModelReference) -> tuple[str, str]:
    """Fetch the one GGUF file that a reference names; where it lies, and the commit.

    Raises
    ------
    InputError
        As `snapshot`; or if the repository has no such file.
    """
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    assert reference.gguf is not None
    repository, file = reference.gguf
    try:
        _info(ModelReference(HUB, repository, reference.revision))
        path = huggingface_hub.hf_hub_download(
            repository, file, revision=reference.revision, etag_timeout=ANSWER_SECONDS
        )
        return path, _commit_in(path)
    except EntryNotFoundError:
        raise InputError(
            f"The repository {repository!r} has no file {file!r}; look up its name there."
        ) from None
    except Exception as error:
        of = ModelReference(HUB, repository, reference.revision)
        cached = None if _final(error) else _cached(of, file)
        if cached is not None:
            path = os.path.join(cached, os.path.basename(file))
            return path, _commit_in(path)
        raise InputError(_told(of, error)) from error


def _commit_in(path: str) -> str:
    """The commit whose snapshot in the local cache holds a file."""
    parts = Path(path).parts
    return parts[len(parts) - parts[::-1].index("snapshots")]


def _info(reference: ModelReference) -> Any:
    import huggingface_hub

    api = huggingface_hub.HfApi()
    return _within(
        DEADLINE_SECONDS,
        lambda: api.model_info(reference.name, revision=reference.revision, timeout=ANSWER_SECONDS),
    )


def _top(info: Any) -> list[str]:
    """The names of a repository's files that lie in no folder."""
    return [file.rfilename for file in info.siblings or () if "/" not in file.rfilename]


def _fetched(reference: ModelReference, tokenizer: str | None) -> ModelFiles:
    import huggingface_hub

    what = f"the model {str(reference)!r}"
    info = _info(reference)
    names = _top(info)
    check_names(names, what)
    if tokenizer is None:
        check_tokenizer(names, what)
    # The configuration first: what is no causal language model is not worth gigabytes.
    config = huggingface_hub.hf_hub_download(
        reference.name, "config.json", revision=info.sha, etag_timeout=ANSWER_SECONDS
    )
    check_causal(read_config(os.path.dirname(config)), what)
    wanted = [*TELLING_FILES, *(_literal(name) for name in weight_names(names))]
    path = huggingface_hub.snapshot_download(
        reference.name,
        revision=reference.revision,
        allow_patterns=[pattern for pattern in wanted if "/" not in pattern],
        ignore_patterns=["*/*"],
        etag_timeout=ANSWER_SECONDS,
    )
    check_model(path, what)
    return ModelFiles(reference, path, tokenizer or path, os.path.basename(path))


def _literal(name: str) -> str:
    """A file name as a pattern that only it matches."""
    return name.replace("[", "[[]")


def _cached(reference: ModelReference, name: str = "config.json") -> str | None:
    """The local cache's snapshot of a revision that has a file of this name; asks no network."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        config = huggingface_hub.try_to_load_from_cache(
            reference.name, name, revision=reference.revision
        )
    except HFValidationError as error:
        raise InputError(
            f"{reference.name!r} is no name on the Hugging Face Hub ({reason(error)})."
        ) from None
    return os.path.dirname(config) if isinstance(config, str) else None


def _files(reference: ModelReference, path: str, tokenizer: str | None) -> ModelFiles | None:
    """The model in a snapshot of the local cache, or None unless all of it is there."""
    try:
        check_model(path, f"the cached model {str(reference)!r}")
        if tokenizer is None:
            check_tokenizer(os.listdir(path), f"the cached model {str(reference)!r}")
    except InputError:
        return None
    return ModelFiles(reference, path, tokenizer or path, os.path.basename(path))


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """The result of a call, or a TimeoutError; the call itself is left to end by itself."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((True, call()))
        except BaseException as error:
            outcome.extend((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    succeeded, value = outcome
    if succeeded:
        return value
    raise value


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first_of(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    return next((cause for cause in _causes(error) if isinstance(cause, kinds)), None)


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error, if the Hub answered at all."""
    for cause in _causes(error):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _final(error: Exception) -> bool:
    """Whether the Hub has answered that there is no such thing for this user."""
    from huggingface_hub import errors

    kinds = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError)
    return _first_of(error, *kinds) is not None


def _told(reference: ModelReference, error: Exception, incomplete: bool = False) -> str:
    """The one sentence for an error of huggingface_hub."""
    from huggingface_hub import constants, errors

    name = reference.name
    page = f"{constants.ENDPOINT}/{name}"
    status = _status(error)
    # A gated repository is, to huggingface_hub, a kind of missing one: ask for it first.
    if _first_of(error, errors.GatedRepoError):
        return (
            f"The model {name!r} is gated; accept its conditions at {page} and log in with "
            "`hf auth login` (or set HF_TOKEN)."
        )
    if _first_of(error, errors.RepositoryNotFoundError):
        return (
            f"There is no model {name!r} on the Hugging Face Hub, or it is private, and no such "
            "directory here; check the name, or log in with `hf auth login`."
        )
    if _first_of(error, errors.RevisionNotFoundError):
        return (
            f"The model {name!r} has no revision {reference.revision!r}; its branches and tags "
            f"are at {page}/tree/main."
        )
    if status == 401:
        return "The Hugging Face Hub refuses the token; log in again with `hf auth login`."
    if status in (400, 403, 404):
        return f"The Hugging Face Hub refuses access to {name!r} ({status}); see {page}."
    here = "is only partly in the local cache" if incomplete else "is not in the local cache"
    if _first_of(error, errors.OfflineModeIsEnabled):
        return f"The model {str(reference)!r} {here} and HF_HUB_OFFLINE is set; unset it to fetch."
    if status is not None:
        return (
            f"The Hugging Face Hub answers {status} and the model {str(reference)!r} {here}; try "
            "again later."
        )
    return (
        f"The model {str(reference)!r} {here} and could not be fetched from {constants.ENDPOINT} "
        f"({reason(error)}); check the network, or give a local directory."
    )
