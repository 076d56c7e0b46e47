"""Driver: a model of a plan on its way to a worker."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.vector import Ready
from mlflow_modelmap.drivers.score.workers.for_nodes import fetches
from mlflow_modelmap.errors import InputError, ModelMapError
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.words.reason import reason_with_type

_PROCESS_BYTES = 1_100_000_000
"""Of a worker with its libraries, beside the weights; oneDNN keeps up to 400 MB of it for products
of many shapes."""
_LARGER_IN_MEMORY = 2.2
"""Weights in 16 bits become float32 on CPU, and some room is needed to work in."""


@dataclass(eq=False)
class Todo:
    """A model on its way: how often it was tried, and what is open for it.

    Attributes
    ----------
    held
        The run of another process that makes its score, if one does.
    fetched
        Whether its files were fetched, for nodes that share the cache.
    looked
        Whether no weights were fetched then, as it seemed to be scored.
    disbelieved
        Whether a node has found that it is not.
    unfetched
        Why its files could not be fetched.
    passed
        How often a smaller one was given out before it.
    """

    number: int
    request: ScoreRequest
    size: int
    tries: int = 0
    prepared: Prepared | None = None
    ready: Ready | None = None
    open: contextlib.ExitStack | None = None
    run: OpenRun | None = None
    held: str | None = None
    fetched: bool = False
    looked: bool = False
    disbelieved: bool = False
    unfetched: Exception | None = None
    passed: int = 0

    @property
    def of_the_hub(self) -> bool:
        """Whether its files may have to be fetched."""
        return fetches(self.request)

    @property
    def need(self) -> int:
        """Bytes of memory that its worker takes."""
        return int(_LARGER_IN_MEMORY * self.size) + _PROCESS_BYTES

    def told(self, error: Exception) -> Exception:
        """A node's error, and why its files could not be fetched for it, if that is another."""
        if self.unfetched is None or not isinstance(error, InputError):
            return error
        known = isinstance(self.unfetched, ModelMapError)
        why = str(self.unfetched) if known else reason_with_type(self.unfetched)
        if why in str(error):
            return error
        return InputError(f"{str(error).rstrip('.')}; the sweep could not fetch it: {why}")

    def leave(self, error: BaseException) -> None:
        """End the run that is open for it, which an error has ended."""
        stack, self.open, self.run = self.open, None, None
        if stack is not None:
            with contextlib.suppress(BaseException), stack:
                raise error
