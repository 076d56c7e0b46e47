"""Scoring (no torch here): models of the Hugging Face Hub, fetched before they are loaded."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.adapter import Adapter, check_adapter_names, read_adapter
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
from mlflow_modelmap.scoring.model.weight_files import (
    ADAPTER,
    check_has_weights,
    weight_names,
)
from mlflow_modelmap.scoring.model.weights_format import (
    ADAPTER_PICKLE,
    PICKLE,
    adapter_weights,
    weights_format,
)
from mlflow_modelmap.words.reason import reason

Result = TypeVar("Result")

# Seconds for one answer of the Hub, and for all that its first answer may take: name resolution
# and a dead network's every address have no time limit of their own.
ANSWER_SECONDS = 4.0
DEADLINE_SECONDS = 8.0


def snapshot(
    reference: ModelReference,
    refused: str | None = None,
    tokenizer: str | None = None,
    *,
    weights: bool = True,
) -> ModelFiles | Adapter:
    """Fetch a Hub model's configuration, tokenizer and weights, and say which commit it is.

    What is in the local cache is not fetched again. If the Hub cannot be reached, the cache
    alone must do; a full commit hash that is there completely does not even ask, unless only
    pickles of it are there.

    Parameters
    ----------
    reference
        A Hub model; a local directory is passed on to `local_files`.
    refused
        Why pickled weights are refused, or None; see `weight_files.check_has_weights`.
    tokenizer
        Directory with the tokenizer, if the model is to have another one than its own.
    weights
        Whether the weights are wanted, or only what the model is; an adapter comes whole.

    Raises
    ------
    InputError
        If the model or the revision does not exist, is gated, is not in reach, or is neither an
        adapter nor a causal language model with a tokenizer.
    """
    if reference.kind == LOCAL:
        return local_files(reference.name, tokenizer, reference, refused)
    if reference.kind != HUB:
        raise InputError(f"{reference.name!r} is no model of the Hugging Face Hub.")
    cached = cached_snapshot(reference)
    if cached is not None and os.path.basename(cached) == reference.revision:
        names = os.listdir(cached)
        known = not _pickled(names) or not weights
        files = _files(reference, cached, refused, tokenizer, weights) if known else None
        if files is not None:
            return files
    try:
        return _fetched(reference, refused, tokenizer, weights)
    except InputError:
        raise
    except Exception as error:
        if answered_no(error):
            raise InputError(told_of(reference, error)) from error
        files = None if cached is None else _files(reference, cached, refused, tokenizer, weights)
        if files is not None:
            return files
        raise InputError(told_of(reference, error, cached is not None)) from error


def is_plain(reference: ModelReference) -> bool:
    """Whether it is a plain word: a few old models of the Hub are called so, and directories."""
    return reference.kind == HUB and "/" not in reference.name


def asked_for(reference: ModelReference) -> str | None:
    """What to tell before the Hub is asked for a word that may have been meant for a directory."""
    if not is_plain(reference) or cached_snapshot(reference) is not None:
        return None
    return (
        f"There is no directory {reference.name!r} here, so the Hugging Face Hub is asked for a "
        "model of that name."
    )


def info_of(reference: ModelReference) -> Any:
    """What the Hub says of a repository, within seconds."""
    import huggingface_hub

    api = huggingface_hub.HfApi()
    return _within(
        DEADLINE_SECONDS,
        lambda: api.model_info(reference.name, revision=reference.revision, timeout=ANSWER_SECONDS),
    )


def top_names(info: Any) -> list[str]:
    """The names of a repository's files that lie in no folder."""
    return [file.rfilename for file in info.siblings or () if "/" not in file.rfilename]


def _fetched(
    reference: ModelReference, refused: str | None, tokenizer: str | None, wanted_too: bool
) -> ModelFiles | Adapter:
    import huggingface_hub

    what = f"the model {str(reference)!r}"
    info = info_of(reference)
    names = top_names(info)
    adapter = ADAPTER in names
    if adapter:
        check_adapter_names(names, what, refused)
        weights = [ADAPTER, adapter_weights(names) or ""]
    else:
        check_names(names, what, refused=refused)
        if tokenizer is None:
            check_tokenizer(names, what)
        # The configuration first: what is no causal language model is not worth gigabytes.
        config = huggingface_hub.hf_hub_download(
            reference.name, "config.json", revision=info.sha, etag_timeout=ANSWER_SECONDS
        )
        check_causal(read_config(os.path.dirname(config)), what)
        weights = weight_names(names) if wanted_too else []
    wanted = [*TELLING_FILES, *(_literal(name) for name in weights)]
    path = fetched_folder(reference, wanted)
    if adapter:
        return read_adapter(path, reference, commit=os.path.basename(path), refused=refused)
    if wanted_too:
        check_model(path, what, refused)
    return ModelFiles(reference, path, tokenizer or path, os.path.basename(path))


def fetched_folder(reference: ModelReference, patterns: Sequence[str]) -> str:
    """Fetch a repository's files of these names that lie in no folder; where they are then."""
    import huggingface_hub

    return interruptible(
        lambda: huggingface_hub.snapshot_download(
            reference.name,
            revision=reference.revision,
            allow_patterns=[pattern for pattern in patterns if "/" not in pattern],
            ignore_patterns=["*/*"],
            etag_timeout=ANSWER_SECONDS,
        )
    )


def _literal(name: str) -> str:
    """A file name as a pattern that only it matches."""
    return name.replace("[", "[[]")


def cached_snapshot(
    reference: ModelReference, names: Sequence[str] = ("config.json", ADAPTER)
) -> str | None:
    """Where the local cache has one of these files of a revision; asks no network."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        for name in names:
            found = huggingface_hub.try_to_load_from_cache(
                reference.name, name, revision=reference.revision
            )
            if isinstance(found, str):
                return os.path.dirname(found)
    except HFValidationError as error:
        raise InputError(
            f"{reference.name!r} is no name on the Hugging Face Hub ({reason(error)})."
        ) from None
    return None


def _files(
    reference: ModelReference,
    path: str,
    refused: str | None,
    tokenizer: str | None,
    weights: bool,
) -> ModelFiles | Adapter | None:
    """What is in a snapshot of the local cache, or None unless all that is wanted is there."""
    what, names = f"the cached model {str(reference)!r}", os.listdir(path)
    commit = os.path.basename(path)
    try:
        if ADAPTER in names:
            found: ModelFiles | Adapter = read_adapter(path, reference, commit=commit)
        else:
            if weights:
                check_model(path, what)
            else:
                check_causal(read_config(path), what)
            if tokenizer is None:
                check_tokenizer(names, what)
            found = ModelFiles(reference, path, tokenizer or path, commit)
    except InputError:
        return None
    if ADAPTER in names:
        check_adapter_names(names, what, refused)
    elif weights:
        check_has_weights(names, what, refused)
    return found


def _pickled(names: Collection[str]) -> bool:
    """Whether files of these names hold pickles, and perhaps the Hub has safetensors of them."""
    return weights_format(names) is PICKLE or adapter_weights(names) == ADAPTER_PICKLE


def interruptible(call: Callable[[], Result]) -> Result:
    """The result of a long call, of which Ctrl-C does not wait for the end.

    huggingface_hub's own wait for its threads' files ends when the files do; those that are not
    begun by then it leaves.
    """
    return _within(None, call)


def _within(seconds: float | None, call: Callable[[], Result]) -> Result:
    """The result of a call, or a TimeoutError; the call itself is left to end by itself."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((True, call()))
        except BaseException as error:
            outcome.extend((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    except BaseException as stopped:
        _raise_in(thread, type(stopped))
        raise
    if not outcome and seconds is not None:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    succeeded, value = outcome
    if succeeded:
        return value
    raise value


def _raise_in(thread: threading.Thread, kind: type[BaseException]) -> None:
    """Have a thread meet an exception as soon as it runs Python code again."""
    if thread.ident is not None:
        number, raised = ctypes.c_ulong(thread.ident), ctypes.py_object(kind)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, raised)


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


def answered_no(error: Exception) -> bool:
    """Whether the Hub has answered that there is no such thing for this user."""
    from huggingface_hub import errors

    kinds = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError)
    return _first_of(error, *kinds) is not None


def told_of(reference: ModelReference, error: Exception, incomplete: bool = False) -> str:
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
    the = f"There is no directory {name!r} here, and the" if is_plain(reference) else "The"
    if _first_of(error, errors.OfflineModeIsEnabled):
        return (
            f"{the} model {str(reference)!r} {here} and HF_HUB_OFFLINE is set; unset it to fetch."
        )
    if status is not None:
        return (
            f"{the} Hugging Face Hub answers {status} and the model {str(reference)!r} {here}; try "
            "again later."
        )
    return (
        f"{the} model {str(reference)!r} {here} and could not be fetched from {constants.ENDPOINT} "
        f"({reason(error)}); check the network, or give a local directory."
    )
