"""Driver: vectors that are scored but not logged yet, safe on disk whatever the store does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking.runs.vector_table import read_table, result_of, write_vectors

FOLDER_VARIABLE = "MLFLOW_MODELMAP_SPOOL"
_PROVENANCE = "modelmap.provenance"
_AGAIN = "modelmap.again"
"""In the file's metadata, where a score was made although the same one was there."""


def spool_folder() -> Path:
    """``MLFLOW_MODELMAP_SPOOL``, else a folder in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "mlflow-modelmap" / "spool"


def path_of(identity: str) -> Path:
    """Where the vector of this identity waits."""
    return spool_folder() / f"{identity}.parquet"


def keep(identity: str, result: ScoreResult, *, again: bool = False) -> Path:
    """Write a vector to the spool, whole or not at all.

    Parameters
    ----------
    again
        Whether it was scored whatever scores there were.
    """
    path = path_of(identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {_PROVENANCE: json.dumps(result.provenance), **({_AGAIN: "true"} if again else {})}
    write_vectors(result, path, said)
    return path


def waiting(identities: Iterable[str], texts: int, *, again: bool = False) -> ScoreResult | None:
    """The vector of one of these identities that waits here undamaged and covers all N texts.

    Parameters
    ----------
    again
        Whether only one will do that was itself scored again.
    """
    found = (_read(path_of(identity), again) for identity in identities)
    return next((r for r in found if r is not None and len(r.log_likelihoods) == texts), None)


def _read(path: Path, again: bool) -> ScoreResult | None:
    try:
        table = pq.read_table(path)
        vectors = read_table(table)
        said = table.schema.metadata or {}
        provenance = json.loads(said[_PROVENANCE.encode()])
    except (OSError, ValueError, KeyError, RecursionError, pa.ArrowException):
        return None
    if again and _AGAIN.encode() not in said:
        return None
    return result_of(vectors, provenance)


def drop(identities: Iterable[str]) -> None:
    """Forget vectors that are logged."""
    for identity in identities:
        path_of(identity).unlink(missing_ok=True)
