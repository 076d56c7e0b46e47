"""Machine: temporary folders whose names say which process they belong to."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from pathlib import Path

from mlflow_modelmap.machine.processes import Process, lives, this_process

_NAME = re.compile(r"modelmap-(?P<pid>\d+)-(?P<started>\d*)-(?P<where>[0-9a-f]{8})-\w+")
_OLD_SECONDS = 24 * 3600
"""After which a folder of another machine or container, of which nothing is known, is left over."""


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder, removed at the end of the block; `left_folders` finds it otherwise."""
    me = this_process()
    return tempfile.TemporaryDirectory(prefix=f"modelmap-{me.pid}-{me.started}-{_where(me)}-")


def left_folders() -> list[Path]:
    """Temporary folders of ours, of this user, that belong to no living process."""
    root, found = Path(tempfile.gettempdir()), []
    for path in sorted(root.glob("modelmap-*")):
        if (name := _NAME.fullmatch(path.name)) and _is_own(path) and _is_left(path, name):
            found.append(path)
    return found


def _where(process: Process) -> str:
    return hashlib.sha256(f"{process.host} {process.space}".encode()).hexdigest()[:8]


def _is_own(path: Path) -> bool:
    try:
        user = path.lstat().st_uid
        return (
            path.is_dir() and not path.is_symlink() and user == getattr(os, "getuid", lambda: 0)()
        )
    except OSError:
        return False


def _is_left(path: Path, name: re.Match[str]) -> bool:
    me = this_process()
    if name["where"] == _where(me):
        return not lives(Process(me.host, me.space, int(name["pid"]), name["started"]))
    return time.time() - path.stat().st_mtime > _OLD_SECONDS
