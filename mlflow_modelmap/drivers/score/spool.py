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


def keep(identity: str, result: ScoreResult) -> Path:
    """Write a vector to the spool, whole or not at all."""
    path = path_of(identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_vectors(result, path, {_PROVENANCE: json.dumps(result.provenance)})
    return path


def waiting(identities: Iterable[str], texts: int) -> ScoreResult | None:
    """The vector of one of these identities that waits here undamaged and covers all N texts."""
    found = (_read(path_of(identity)) for identity in identities)
    return next((r for r in found if r is not None and len(r.log_likelihoods) == texts), None)


def _read(path: Path) -> ScoreResult | None:
    try:
        table = pq.read_table(path)
        vectors = read_table(table)
        provenance = json.loads((table.schema.metadata or {})[_PROVENANCE.encode()])
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None
    return result_of(vectors, provenance)


def drop(identities: Iterable[str]) -> None:
    """Forget vectors that are logged."""
    for identity in identities:
        path_of(identity).unlink(missing_ok=True)
