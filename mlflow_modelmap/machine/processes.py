"""Machine: which process this is, and whether another one still lives.

A number alone does not tell: numbers are given again, and every container counts for itself.
"""

from __future__ import annotations

import json
import os
import platform
import uuid
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process, so that it can be told from every other one.

    Attributes
    ----------
    host
        Name of its machine.
    space
        Where its number means something: one boot of a machine, and one container there.
    pid
        Its number.
    started
        When it started, as its machine counts time; "" where that is not known.
    """

    host: str
    space: str
    pid: int
    started: str

    def written(self) -> str:
        """As one line of JSON, which `read_process` reads."""
        return json.dumps(asdict(self))


def read_process(text: str) -> Process | None:
    """The process that `Process.written` wrote down, or None where it did not."""
    try:
        held = json.loads(text)
        return Process(
            str(held["host"]), str(held["space"]), int(held["pid"]), str(held["started"])
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def this_process() -> Process:
    """The process that asks."""
    return _process(os.getpid())


def lives(process: Process) -> bool | None:
    """Whether a process still lives; None where that cannot be told from this machine."""
    here = this_process()
    if (process.host, process.space) != (here.host, here.space):
        return None
    started = _started(process.pid)
    if started is None:
        return False
    return not started or not process.started or started == process.started


def number_lives(pid: int) -> bool:
    """Whether any process of this machine has a number now."""
    return _started(pid) is not None


@cache
def _process(pid: int) -> Process:
    return Process(platform.node(), _space(), pid, _started(pid) or "")


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return f"{uuid.getnode():x}"


def _started(pid: int) -> str | None:
    """When a process of this machine started ("" if that is hidden); None where there is none."""
    if pid < 1:
        return None
    if not os.path.exists("/proc/self/stat"):
        return _started_elsewhere(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _hidden(pid)
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in ("Z", "X") else rest[18]


def _hidden(pid: int) -> str | None:
    """Another user's processes may be there although /proc does not show them."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return ""
    except (OSError, OverflowError):
        return None
    return ""


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return ""
