"""Driver: tokens of a text set on disk for a day, so that many processes make them once.

An `.npz` of plain arrays beside the spool, no pickle; what is damaged is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from mlflow_modelmap.drivers.score.spool import spool_folder
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

_KEPT_SECONDS = 24 * 3600
_PATIENCE_SECONDS = 600
_ARRAYS = ("ids", "ends", "bytes", "firsts")


def tokens_folder() -> Path:
    """Where they are."""
    return spool_folder() / "tokens"


def made_once(key: tuple[Any, ...], make: Callable[[], TokenizedTexts]) -> TokenizedTexts:
    """The tokens of a key, made by whichever process comes first; the others wait for it.

    Raises
    ------
    InputError
        As `make`.
    """
    name = hashlib.sha256(repr((key, _versions())).encode()).hexdigest()
    folder = tokens_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / f"{name}.lock", timeout=_PATIENCE_SECONDS)
        lock.acquire()
    except (OSError, Timeout):
        return make()  # a disk that cannot be written is no reason not to score
    try:
        path = folder / f"{name}.npz"
        found = _read(path)
        if found is None:
            found = make()
            with contextlib.suppress(OSError):
                _write(path, found)
                _forget_old(folder)
        return found
    finally:
        lock.release()


def _versions() -> tuple[str, str]:
    return version("tokenizers"), version("transformers")


def _write(path: Path, tokens: TokenizedTexts) -> None:
    said = {f.name: getattr(tokens, f.name) for f in fields(tokens) if f.name not in _ARRAYS}
    arrays = {
        "lengths": tokens.lengths,
        "ids": np.concatenate(tokens.ids),
        "ends": np.concatenate(tokens.ends),
        "bytes": tokens.bytes,
        "said": np.frombuffer(json.dumps(said).encode(), dtype=np.uint8),
    }
    if tokens.firsts is not None:
        arrays["firsts"] = tokens.firsts
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    with open(partial, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    os.replace(partial, path)


def _read(path: Path) -> TokenizedTexts | None:
    try:
        with np.load(path, allow_pickle=False) as held:
            said = json.loads(held["said"].tobytes())
            cuts = np.cumsum(held["lengths"])[:-1]
            said["truncated"] = tuple(said["truncated"])
            said["notices"] = tuple(said["notices"])
            return TokenizedTexts(
                ids=tuple(np.split(held["ids"], cuts)),
                ends=tuple(np.split(held["ends"], cuts)),
                bytes=held["bytes"],
                firsts=held.get("firsts"),
                **said,
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink()
