"""Machine: the signals that stop a work, kept from what has to be brought to its end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C, being asked to end, and the terminal that is gone."""


def heeded() -> list[signal.Signals]:
    """Those that this process does not ignore, as it does SIGHUP under ``nohup``."""
    return [number for number in STOPPING if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """What is done in here is not stopped by a signal: it counts once the block has ended.

    A second one within the block does stop it. In other threads than the main one nothing
    changes: signals never come there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def keep(number: int, _: Any) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, keep) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
