"""Driver: who gets which model of a plan, what becomes of it, and of those whose worker died."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

import mlflow

from mlflow_modelmap.drivers.process.progress import look_up, say
from mlflow_modelmap.drivers.score.claims import Held, claim, still_held, who
from mlflow_modelmap.drivers.score.fetched import together
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.score_into import log_vector
from mlflow_modelmap.drivers.score.shard import costs, size_of
from mlflow_modelmap.drivers.score.sweep_rows import FAILED, SKIPPED, SweepRow
from mlflow_modelmap.drivers.score.sweep_work import WAIT_SECONDS, Work, scored_row
from mlflow_modelmap.drivers.score.vector import Ready
from mlflow_modelmap.drivers.score.workers.events import (
    Answer,
    Asked,
    Died,
    Engine,
    Failure,
    HeldBy,
    Logged,
    Made,
    Moved,
    Whole,
)
from mlflow_modelmap.drivers.score.workers.made_ahead import MadeAhead
from mlflow_modelmap.drivers.score.workers.progress import SweepProgress
from mlflow_modelmap.drivers.score.workers.todo import Todo
from mlflow_modelmap.errors import InputError, ScoringError, TrackingError
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.end_run import fail_run
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.search import search_runs
from mlflow_modelmap.tracking.store.client import briefly

_TRIES = 2
_LOOK_SECONDS = 0.2


class FanOut:
    """One pass over the models of a plan by many workers.

    The largest come first, so that none is left when all others are done. One that has no room yet
    is passed by smaller ones, but not for ever.

    Attributes
    ----------
    deaths
        What is to be said of workers that died, in sentences.
    """

    def __init__(
        self, work: Work, engine: Engine, status: SweepProgress, *, workers_log: bool
    ) -> None:
        self.work, self.engine, self.status, self.workers_log = work, engine, status, workers_log
        self.deaths: list[str] = []
        self._rows: dict[int, SweepRow] = {}
        self._waiting: list[Todo] = []
        self._held: list[Todo] = []
        self._flying: dict[int, Todo] = {}
        self._ahead = MadeAhead(work, engine)
        self._looked = 0.0

    def all(self, asked: Sequence[ScoreRequest]) -> tuple[SweepRow, ...]:
        """What becomes of every model.

        Raises
        ------
        InputError
            If little is to stay of what is fetched, but the nodes of a cluster fetch it.
        TrackingError
            If the store is gone.
        KeyboardInterrupt
            If somebody stops it; nothing goes on then.
        """
        todo = [Todo(number, request, size_of(request)) for number, request in enumerate(asked)]
        self.status.expect(dict(enumerate(costs(asked))))
        self._waiting = sorted((todo[n] for n in together(asked)), key=lambda one: -one.size)
        try:
            self._ahead.expect(asked)
            while self._waiting or self._flying or self._held:
                look_up()
                self._fill()
                for event in self.engine.events(_LOOK_SECONDS):
                    self._heard(event)
                self._look_at_held()
                self.status.show()
                flying = self._flying.values()
                self.status.at_work = tuple(one.request.point_name for one in flying)
                if self._flying:
                    self.work.say_status(self.status)
        except BaseException as error:
            self.engine.close()
            for one in todo:
                one.leave(error)
            for one in self._flying.values() if self.workers_log else ():
                with contextlib.suppress(Exception), briefly():
                    self._end_run_of(one, error)
            raise
        finally:
            self._ahead.close()
            self.status.close()
            self.engine.close()
        return tuple(self._rows[number] for number in range(len(asked)))

    def _fill(self) -> None:
        """Give out as much as there is room for."""
        self._ahead.ask(self._waiting, len(self._flying))
        for one in list(self._waiting):
            if not self.engine.free(0):
                return
            if not self.engine.free(one.need):
                one.passed += 1
                if one.passed > 2 * self.engine.count + 8 and not one.held:
                    return  # room is kept for it
                continue
            if not self._ahead.has(one):
                continue
            self._waiting.remove(one)
            try:
                task = self._begin(one)
            except Held as held:
                if one.held is None:
                    name = one.request.point_name
                    say(f"{who(held.run)} is scoring {name!r}; it comes last.", self.status.shown)
                self._is_held(one, held)
            except Exception as error:
                one.leave(error)
                self._ended(one, self.work.failed(one.request, error))
            else:
                if task is not None:
                    self._give(one, task)

    def _begin(self, one: Todo) -> Ready | Asked | Whole | None:
        """What is to be done for a model; None where it has come to its end already."""
        work = self.work
        if self._ahead.wants(one):
            self._ahead.take(one)
        if one.run is None:
            there = None if one.prepared is None else work.there(one.prepared)
            if there is not None:
                self._ended(one, there)
                return None
            if self._ahead.shares and not one.fetched:  # whoever had it has not made it
                one.prepared = None
                if self._ahead.wants(one):
                    self._waiting.insert(0, one)
                    return None
        if not self.engine.prepares or self.workers_log:
            return self._task(one)
        if one.run is None:
            assert one.prepared is not None
            one.ready = work.tokens.ready(one.prepared, again=work.again)
            one.open = contextlib.ExitStack()
            one.run = one.open.enter_context(work.open_for(one.prepared))
            if not work.again:
                claim(one.prepared, one.run)
        assert one.ready is not None
        if one.ready.kept is None:
            return one.ready
        self._log(one, one.ready.kept)
        return None

    def _task(self, one: Todo) -> Asked | Whole:
        work = self.work
        if not self.workers_log:
            done = frozenset() if one.tries else frozenset(work.done)
            return Asked(one.request, work.texts, done, work.again)
        parent = work.parent()
        return Whole(
            one.request,
            work.texts,
            parent.store.tracking_uri,
            mlflow.get_registry_uri(),
            experiment_id=parent.experiment_id,
            parent_run_id=parent.run_id,
            task=self._name_of(one),
            again=work.again,
            formerly=work.looks_formerly(),
        )

    def _name_of(self, one: Todo) -> str:
        return f"{self.work.parent().run_id}/{one.number}/{one.tries}"

    def _give(self, one: Todo, task: Ready | Asked | Whole) -> None:
        self._flying[one.number] = one
        self.engine.give(one.number, one.need, task)

    def _heard(self, event: Answer | Moved | Died) -> None:
        one = self._flying.get(event.number)
        if one is None:
            return
        if isinstance(event, Moved):
            self.status.moved(event.number, event.done, event.total)
            return
        del self._flying[event.number]
        if isinstance(event, Died):
            return self._died(one, event)
        try:
            self._answered(one, event)
        except Held as held:
            self._is_held(one, held)
        except Exception as error:
            one.leave(error)
            self._ended(one, self.work.failed(one.request, error))

    def _is_held(self, one: Todo, held: Held) -> None:
        """Others are scoring it; the run that was made for it in vain goes."""
        one.leave(held)
        self._wait_for(one, held.run.info.run_id)

    def _wait_for(self, one: Todo, run_id: str) -> None:
        one.held = run_id
        self._held.append(one)
        if self.work.not_needed(one.request):
            one.fetched = False  # its weights may go meanwhile
            if self.engine.prepares:
                one.prepared = None

    def _answered(self, one: Todo, answer: Answer) -> None:
        outcome = answer.outcome
        if isinstance(outcome, Failure):
            if not one.looked or outcome.kind != InputError.__name__:
                raise one.told(outcome.error())
            self.work.not_needed(one.request, came=True)  # its node cannot use what is scored
            one.looked, one.fetched, one.disbelieved = False, False, True
            self.status.again(one.number)
            self._waiting.insert(0, one)
        elif isinstance(outcome, ScoreResult):
            self._log(one, outcome)
        elif isinstance(outcome, Logged):
            if outcome.tokens:
                self.status.moved(one.number, outcome.tokens, outcome.tokens)
            self._ended(one, outcome.row)
        elif isinstance(outcome, HeldBy):
            self._wait_for(one, outcome.run_id)
        elif isinstance(outcome, Made):
            self._log_made(one, outcome)

    def _log_made(self, one: Todo, made: Made) -> None:
        """Log what was prepared elsewhere, unless it is there by now."""
        prepared = one.prepared = replace(made.prepared, texts=self.work.texts)
        there = self.work.there(prepared, made=True)
        if there is not None:
            return self._ended(one, there)
        if made.result is None:  # what is there under its name is not believed
            one.tries += 1
            self._waiting.insert(0, one)
            return None
        one.ready = Ready(prepared, kept=made.result, again=self.work.again)
        one.open = contextlib.ExitStack()
        one.run = one.open.enter_context(self.work.open_for(prepared))
        if not self.work.again:
            claim(prepared, one.run)
        return self._log(one, made.result)

    def _log(self, one: Todo, result: ScoreResult) -> None:
        assert one.ready is not None
        assert one.run is not None
        assert one.open is not None
        with one.open:
            made = log_vector(one.run, one.ready, result)
        tokens = int(result.scored_tokens.sum())
        self.status.moved(one.number, tokens, tokens)
        self._ended(one, scored_row(one.ready.prepared, made))

    def _died(self, one: Todo, death: Died) -> None:
        name, again = one.request.point_name, one.tries + 1 < _TRIES
        end = "it was tried once more elsewhere" if again else "so did the worker before it"
        said = f"Worker {death.worker} died while it scored {name!r} ({death.why}); {end}."
        self.deaths.append(said)
        self.status.again(one.number)
        if self.workers_log:
            self._end_run_of(one, ScoringError(said))
        one.tries += 1
        if again:
            self._waiting.insert(0, one)
            return
        error = ScoringError(f"Two workers died while they scored {name!r} ({death.why}).")
        one.leave(error)
        self._ended(one, self.work.failed(one.request, error))

    def _end_run_of(self, one: Todo, error: BaseException) -> None:
        """End the run that a worker, which is gone, left open."""
        store, where = self.work.store, self.work.experiment_id
        named = f"tags.`{schema.TAG_TASK}` = '{self._name_of(one)}'"
        for run in search_runs([where], f"{named} AND attributes.status = 'RUNNING'", store):
            name = run.info.run_name or ""
            fail_run(OpenRun(store, run.info.run_id, where, name, owned=True), error)

    def _ended(self, one: Todo, row: SweepRow) -> None:
        self._rows[one.number] = row
        self.work.not_needed(one.request, came=one.looked and row.state != SKIPPED)
        self.status.ended(one.number, row.state, row.state != SKIPPED and row.state != FAILED)
        self.work.tell(row)

    def _look_at_held(self) -> None:
        """What others made, or gave up, is to be looked at once more."""
        if not self._held or time.monotonic() - self._looked < WAIT_SECONDS:
            return
        self._looked = time.monotonic()
        for one in list(self._held):
            if not _holds(one, self.work):
                self._held.remove(one)
                self._waiting.append(one)


def _holds(one: Todo, work: Work) -> bool:
    try:
        return still_held(one.held or "", work.store)
    except TrackingError:
        raise
    except Exception:
        return False
