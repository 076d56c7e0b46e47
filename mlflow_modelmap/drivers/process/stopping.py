"""Driver: Ctrl-C and SIGTERM, which Python forgets if they come while a destructor runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_asked = threading.Event()


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM stop the work as Ctrl-C does, and remember both until `check`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        _asked.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
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
