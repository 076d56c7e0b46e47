"""Scoring (no torch here): a directory with a model in it, checked before anything is loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.plain_file import CONFIGURATION_BYTES, check_plain, read_json
from mlflow_modelmap.scoring.model.reference import LOCAL, ModelFiles, ModelReference
from mlflow_modelmap.scoring.model.training_state import check_no_training_state
from mlflow_modelmap.scoring.model.weight_files import (
    capital,
    check_has_weights,
    check_no_adapter,
    check_weights,
    weight_files,
)
from mlflow_modelmap.scoring.model.weights_format import SAFETENSORS, weights_format
from mlflow_modelmap.scoring.tokenizer.files import (
    TOKENIZER_FILES,
    holds_tokenizer,
    tokenizer_files_in,
)

# All that can change a score beside the weights: configuration, tokenizer, the model's own code.
TELLING_FILES = ("config.json", *TOKENIZER_FILES)
_NOT_CAUSAL = (
    "ForMaskedLM",
    "ForPreTraining",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
_GENERATION = "generation_config.json"
_BLOCK = 1 << 22


def local_files(
    model_path: str | os.PathLike[str],
    tokenizer_path: str | os.PathLike[str] | None = None,
    reference: ModelReference | None = None,
    refused: str | None = None,
) -> ModelFiles:
    """A model that lies in a local directory; its commit is a digest of its content.

    The digest goes over the names and contents of configuration, tokenizer and weight files,
    so it follows the model wherever its directory is moved or copied.

    Parameters
    ----------
    tokenizer_path
        Where the tokenizer lies, if it has a directory of its own.
    reference
        What the user wrote; the directory itself if None.
    refused
        Why pickled weights are refused, or None; see `check_has_weights`.

    Raises
    ------
    InputError
        If the directory holds no complete causal language model with its tokenizer.
    """
    path = os.path.realpath(model_path)
    other = os.path.realpath(tokenizer_path) if tokenizer_path is not None else path
    check_model(path, repr(path), refused)
    check_tokenizer(os.listdir(other), repr(other))
    return ModelFiles(
        reference or ModelReference(LOCAL, path), path, other, content_digest(path, other)
    )


def check_model(path: str, what: str, refused: str | None = None) -> None:
    """Raise an InputError unless a directory holds a causal language model.

    Parameters
    ----------
    what
        How the error names it, such as ``the model 'org/name'``.
    refused
        Why pickled weights are refused, or None.
    """
    try:
        names = os.listdir(path)
    except OSError as error:
        raise InputError(f"{path!r} cannot be read ({error.strerror}).") from None
    check_names(names, what, path, refused)
    check_causal(read_config(path), what)
    for name in weight_files(path, names, what):
        check_weights(os.path.join(path, name), what)


def check_names(
    names: Iterable[str], what: str, path: str | None = None, refused: str | None = None
) -> None:
    """Raise an InputError unless files of these names can make a model; see `check_model`."""
    names = set(names)
    check_no_adapter(names, what, path)
    check_no_training_state(names, what)
    if "config.json" not in names:
        raise InputError(f"{capital(what)} has no config.json{_instead(names, path)}.")
    check_has_weights(names, what, refused)


def check_causal(config: dict[str, Any], what: str) -> None:
    """Raise an InputError if a configuration is that of an encoder or an encoder-decoder."""
    named = config.get("architectures")
    classes = [str(name) for name in named] if isinstance(named, list) else []
    encoder = bool(classes) and all(name.endswith(_NOT_CAUSAL) for name in classes)
    if encoder or config.get("is_encoder_decoder") is True:
        kind = classes[0] if classes else config["model_type"]
        raise InputError(
            f"{capital(what)} is no causal language model but a {kind}; only models that predict "
            "the next token have a log-likelihood here."
        )


def check_tokenizer(names: Iterable[str], what: str) -> None:
    """Raise an InputError unless files of these names hold a tokenizer."""
    if not holds_tokenizer(names):
        raise InputError(
            f"{capital(what)} has no tokenizer (such as tokenizer.json); save the tokenizer "
            "beside the model."
        )


def weights_in(path: str | os.PathLike[str], refused: str | None = None) -> ModelFiles:
    """A model in a local directory whose tokenizer is at hand already, as `local_files`."""
    folder = os.path.realpath(path)
    check_model(folder, repr(folder), refused)
    return ModelFiles(ModelReference(LOCAL, folder), folder, folder, content_digest(folder, folder))


def content_digest(model_path: str, tokenizer_path: str) -> str:
    """``sha256:`` and the SHA-256 (hex) over names and contents of the files that make a score.

    They are ``config.json``, the weights that transformers loads (one file, or the index and the
    shards that it names) and the tokenizer's files, with the model's code where it brings any:
    whatever else lies beside them is not read. A link counts as the content that it leads to.

    Raises
    ------
    InputError
        If one of them is no plain file, or larger than its kind can be.
    """
    config = read_config(model_path)
    found: dict[str, str] = {}
    for label, folder in (("model", model_path), ("tokenizer", tokenizer_path)):
        kept = tokenizer_files_in(folder, config)
        if label == "model":
            names = os.listdir(folder)
            kept += ["config.json", *weight_files(folder, names, repr(folder))]
            form = weights_format(names) or SAFETENSORS
            kept += [] if form.single in names else [form.index]
            if _GENERATION in names:  # read whole by transformers; it does not change a score
                check_plain(os.path.join(folder, _GENERATION), CONFIGURATION_BYTES)
        elif folder == model_path:
            continue
        for name in kept:
            found[name if label == "model" else f"{label}/{name}"] = os.path.join(folder, name)
    return digest_of(found)


def digest_of(files: Mapping[str, str]) -> str:
    """``sha256:`` and the SHA-256 (hex) over names and contents of files, paths by name."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        digests = dict(zip(files, pool.map(file_digest, files.values()), strict=True))
    sha = hashlib.sha256()
    for name in sorted(digests):
        sha.update(f"{name}\0{digests[name]}\n".encode())
    return f"sha256:{sha.hexdigest()}"


def tokenizer_digest(folder: str, config: Mapping[str, Any] | None = None) -> str:
    """SHA-256 (hex) over names and contents of the files that make a directory's tokenizer.

    Of a ``config.json`` beside them what decides on transformers' class counts. `config` is that of
    the model, as `tokenizer_files_in` takes it.
    """
    sha = hashlib.sha256()
    beside = os.path.join(folder, "config.json")
    if os.path.lexists(beside):
        said = read_json(beside)
        for name in ("model_type", "tokenizer_class"):
            sha.update(f"{name}\0{said.get(name) if isinstance(said, dict) else None}\n".encode())
    for name in tokenizer_files_in(folder, config):
        sha.update(f"{name}\0{file_digest(os.path.join(folder, name))}\n".encode())
    return sha.hexdigest()


def file_digest(path: str) -> str:
    """SHA-256 (hex) of a file, read in blocks; remembered while the file stays as it is."""
    status = os.stat(path)
    return _file_digest(os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _file_digest(path: str, size: int, modified: int, inode: int) -> str:
    sha = hashlib.sha256()
    block = memoryview(bytearray(min(_BLOCK, max(size, 1))))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(block):
            sha.update(block[:count])
    return sha.hexdigest()


def _instead(names: set[str], path: str | None) -> str:
    """What to give instead of a directory that holds no model itself."""
    if "MLmodel" in names:
        return "; it is an MLflow model: give its models:/ or runs:/ URI"
    inner = sorted(
        name
        for name in names
        if path is not None and os.path.isfile(os.path.join(path, name, "config.json"))
    )
    if inner:
        more = f" (or {len(inner) - 1} more)" if len(inner) > 1 else ""
        return f", but its folder {inner[0]}{more} has: give that"
    return "; give what `save_pretrained` wrote"
