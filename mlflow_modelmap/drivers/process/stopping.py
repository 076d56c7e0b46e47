"""Driver: Ctrl-C, SIGTERM and SIGHUP, which Python forgets if they come while a destructor runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow_modelmap.machine.signals import heeded

_asked = threading.Event()
_heard: list[int] = []


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the work as Ctrl-C does, and remember all of them until `check`.

    A second one does nothing: the work is then being ended. A third stops that as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _heard.clear()

    def stop(number: int, _: Any) -> None:
        _heard.append(number)
        if len(_heard) != 2:
            _asked.set()
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def check() -> None:
    """Stop here if that was asked for and got lost; called between batches and models.

    Raises
    ------
    KeyboardInterrupt
        Once for each time it was asked for.
    """
    if _asked.is_set():
        _asked.clear()
        raise KeyboardInterrupt


def exit_code() -> int:
    """What a command ends with that was stopped: 128 and the number of the signal."""
    return 128 + (_heard[0] if _heard else signal.SIGINT)


def was_stopped() -> bool:
    """Whether a signal asked the last command to stop."""
    return bool(_heard)
