"""Driver: models of a plan made ready before their turn - prepared, or fetched for nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep_work import Work
from mlflow_modelmap.drivers.score.workers import for_nodes
from mlflow_modelmap.drivers.score.workers.ahead import Ahead
from mlflow_modelmap.drivers.score.workers.events import Engine
from mlflow_modelmap.drivers.score.workers.todo import Todo

_FETCHED_AT_ONCE = 8  # for nodes that share a cache which nothing bounds


class MadeAhead:
    """What is made ready while others are scored: no more than there will soon be room for."""

    def __init__(self, work: Work, engine: Engine) -> None:
        self._work, self._engine = work, engine
        self._threads = Ahead()
        self.shares = False

    def expect(self, asked: Sequence[ScoreRequest]) -> None:
        """Find out whether files are fetched here for an engine's nodes.

        Raises
        ------
        InputError
            If they are not, but little is to stay of what is fetched.
        """
        self.shares = for_nodes.nodes_share_the_cache(self._engine, self._work, asked)
        if self.shares and self._work.fetched is None:
            self._threads = Ahead(_FETCHED_AT_ONCE)

    def wants(self, one: Todo) -> bool:
        """Whether a model still has to be prepared here, or its files fetched for the nodes."""
        if self._engine.prepares:
            return one.prepared is None
        return self.shares and one.prepared is None and not one.fetched and one.of_the_hub

    def ask(self, waiting: Iterable[Todo], flying: int) -> None:
        """Have the next ones made ready, as long as there is room, beside those being scored."""
        count, fetched = self._engine.count, self._work.fetched
        for one in filter(self.wants, waiting):
            ahead = self._threads.waiting
            if ahead > count:
                return
            if fetched is not None and (
                ahead + flying > count or ((ahead or flying) and fetched.full)
            ):
                return  # of all that lies on disk, one more than there are workers
            self._threads.ask(one.number, self._making(one))

    def has(self, one: Todo) -> bool:
        """Whether nothing is left to wait for."""
        return not self.wants(one) or self._threads.has(one.number)

    def take(self, one: Todo) -> None:
        """Put down what was made of a model.

        Raises
        ------
        Exception
            Whatever preparing it has raised. Why it could not be fetched is put down too: its node
            may still have it.
        """
        if not self.shares:
            one.prepared = self._threads.take(one.number)
            return
        one.fetched, one.looked, one.unfetched = True, False, None
        try:
            one.looked = self._threads.take(one.number)
        except Exception as error:
            one.unfetched = error

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.close()

    def _making(self, one: Todo) -> Callable[[], Any]:
        if self._engine.prepares:
            return partial(self._work.prepare, one.request)
        return partial(
            for_nodes.fetch_for_nodes, self._work, one.request, believed=not one.disbelieved
        )
