"""Driver: vectors whose runs are not FINISHED yet, safe on disk whatever the store does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_modelmap.machine.processes import number_lives
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking.runs.vector_table import read_table, result_of, write_vectors

FOLDER_VARIABLE = "MLFLOW_MODELMAP_SPOOL"
_PROVENANCE = "modelmap.provenance"
_AGAIN = "modelmap.again"
"""In the file's metadata, where a score was made although the same one was there."""
_LOGGED = ".logged"
_VALUES = ".values"
_PARTIAL = re.compile(
    r"\.\w+\.(?:parquet|values)\.(?P<pid>\d+)|weights-[0-9a-f]+\.(?P<of>\d+)\.tmp"
)
_KEPT_SECONDS = 24 * 3600
_WRITING_SECONDS = 60
"""No file takes longer to write; another machine, whose processes do not show, may share this."""


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


def values_path(identity: str) -> Path:
    """Where the values of a score that is not whole yet are written down."""
    return spool_folder() / f"{identity}{_VALUES}"


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


def waiting(
    identities: Iterable[str], texts: int, *, again: bool = False, both: bool = False
) -> ScoreResult | None:
    """The vector of one of these identities that waits here undamaged and covers all N texts.

    Parameters
    ----------
    again
        Whether only one will do that was itself scored again, and is not logged yet.
    both
        Whether only one will do whose responses were scored without their prompts too.
    """
    paths = [
        path
        for identity in identities
        for path in ((path_of(identity),) if again else (path_of(identity), _logged(identity)))
    ]
    found = (_read(path, again) for path in paths)
    whole = (r for r in found if r is not None and len(r.log_likelihoods) == texts)
    return next((r for r in whole if r.unconditional is not None or not both), None)


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
    """Forget vectors whose runs are FINISHED."""
    for identity in identities:
        for path in (path_of(identity), _logged(identity), values_path(identity)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def hand_over(identities: Iterable[str]) -> None:
    """Keep vectors one more day that are logged into a run which somebody else is to end."""
    with contextlib.suppress(OSError):
        for identity in identities:
            values_path(identity).unlink(missing_ok=True)
            if path_of(identity).exists():
                os.replace(path_of(identity), _logged(identity))
                os.utime(_logged(identity))
        for path in spool_folder().glob(f"*{_LOGGED}"):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
                path.unlink(missing_ok=True)


def _logged(identity: str) -> Path:
    return spool_folder() / f"{identity}{_LOGGED}"


def whole() -> list[tuple[Path, str | None]]:
    """What waits here, and the identity of the score that it is; None of weights' sums."""
    vectors = [
        (path, path.name.partition(".")[0])
        for pattern in ("*.parquet", f"*{_LOGGED}", f"*{_VALUES}")
        for path in sorted(spool_folder().glob(pattern))
        if not path.name.startswith(".")
    ]
    return [*vectors, *((path, None) for path in sorted(spool_folder().glob("weights-*.npz")))]


def partial() -> list[Path]:
    """Files that a process was writing here when it was killed: no such process of ours lives."""
    return [
        path
        for path in sorted(spool_folder().glob("*"))
        if (name := _PARTIAL.fullmatch(path.name))
        and not number_lives(int(name["pid"] or name["of"]))
        and time.time() - path.stat().st_mtime > _WRITING_SECONDS
    ]
