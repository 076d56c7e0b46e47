"""Machine: files by which processes tell each other that something is in use, until they end."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # no POSIX
    fcntl = None  # type: ignore[assignment]


def hold(path: Path) -> IO[bytes] | None:
    """Say that what a file stands for is in use, until what this returns is closed.

    The end of the process closes it too, however that comes. None where the file cannot be locked.
    """
    try:
        file = _opened(path)
    except OSError:
        return None
    if not _lock(file, alone=False):
        file.close()
        return None
    return file


@contextlib.contextmanager
def unused(path: Path, *, ours: bool = True) -> Iterator[bool]:
    """Whether nobody holds a file; if so, whoever comes to hold it waits until the block ends.

    Parameters
    ----------
    ours
        Whether only this package locks it. Another's is not made, which might mean that it is
        held, and where it cannot be told it is in use.
    """
    try:
        file = _opened(path) if ours else path.open("r+b")
    except OSError as error:  # nobody can hold what cannot be there
        yield ours or isinstance(error, FileNotFoundError)
        return
    with file:
        yield _lock(file, alone=True, unknown=ours)


def _opened(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return path.open("a+b")
    except PermissionError:  # another user's
        return path.open("rb")


def _lock(file: IO[bytes], *, alone: bool, unknown: bool = True) -> bool:
    if fcntl is None:
        return unknown
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno == errno.EBADF:  # NFS locks alone only what one may write
            return False
        return alone and unknown  # a file system without locks: nobody knows of anybody
    return True
