"""Driver: models prepared, and fetched where need be, while others are being scored."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.words.reason import reason_with_type


class Ahead:
    """Calls made in threads of their own, in the order asked for; they end with the process.

    Parameters
    ----------
    at_once
        So many at a time.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._asked: queue.SimpleQueue[tuple[int, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._known: set[int] = set()
        self._found: dict[int, tuple[Any, Exception | None]] = {}
        self._threads: list[threading.Thread] = []
        self._ended = False

    def ask(self, number: int, call: Callable[[], Any]) -> None:
        """Have something made, unless it was asked for before."""
        if number in self._known:
            return
        self._known.add(number)
        if len(self._threads) < min(self._at_once, len(self._known)):
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()
        self._asked.put((number, call))

    def has(self, number: int) -> bool:
        """Whether it is there, or cannot be."""
        return number in self._found

    def take(self, number: int) -> Any:
        """What was made; whatever was raised is raised here."""
        self._known.discard(number)
        made, error = self._found.pop(number)
        if error is not None:
            raise error
        return made

    @property
    def waiting(self) -> int:
        """How many were asked for and not taken."""
        return len(self._known)

    def close(self) -> None:
        """Begin nothing more."""
        self._ended = True
        for _ in self._threads:
            self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None and not self._ended:
            number, call = asked
            try:
                self._found[number] = call(), None
            except Exception as error:
                self._found[number] = None, error
            except BaseException as error:  # a library's panic: whoever waits must hear of it
                self._found[number] = None, ScoringError(reason_with_type(error))
