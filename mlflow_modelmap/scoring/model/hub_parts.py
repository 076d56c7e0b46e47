"""Scoring (no torch here): parts of a Hub repository - its tokenizer alone, or one GGUF file."""

from __future__ import annotations

import os
from pathlib import Path

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.folder import TELLING_FILES, check_tokenizer
from mlflow_modelmap.scoring.model.hub import (
    ANSWER_SECONDS,
    answered_no,
    cached_snapshot,
    fetched_folder,
    info_of,
    interruptible,
    told_of,
    top_names,
)
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.scoring.tokenizer.files import VOCABULARIES


def tokenizer_snapshot(reference: ModelReference) -> str:
    """Fetch a Hub repository's tokenizer and no weights; the directory that holds it.

    Raises
    ------
    InputError
        As `snapshot`; or if the repository has no tokenizer.
    """
    what = f"{str(reference)!r}"
    try:
        info = info_of(reference)
        names = top_names(info)
        check_tokenizer(names, what)
        return fetched_folder(reference, TELLING_FILES)
    except InputError:
        raise
    except Exception as error:
        cached = None if answered_no(error) else cached_snapshot(reference, VOCABULARIES)
        if cached is not None:
            return cached
        raise InputError(told_of(reference, error)) from error


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
        info_of(ModelReference(HUB, repository, reference.revision))
        path = interruptible(
            lambda: huggingface_hub.hf_hub_download(
                repository, file, revision=reference.revision, etag_timeout=ANSWER_SECONDS
            )
        )
        return path, _commit_in(path)
    except EntryNotFoundError:
        raise InputError(
            f"The repository {repository!r} has no file {file!r}; look up its name there."
        ) from None
    except Exception as error:
        of = ModelReference(HUB, repository, reference.revision)
        cached = None if answered_no(error) else cached_snapshot(of, (file,))
        if cached is not None:
            path = os.path.join(cached, os.path.basename(file))
            return path, _commit_in(path)
        raise InputError(told_of(of, error)) from error


def _commit_in(path: str) -> str:
    """The commit whose snapshot in the local cache holds a file."""
    parts = Path(path).parts
    return parts[len(parts) - parts[::-1].index("snapshots")]
