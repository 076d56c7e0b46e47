"""Driver: one model of a plan, brought to its end - found, or scored and logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType

from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.process.memory import free_memory
from mlflow_modelmap.drivers.process.progress import look_up, progress_bar, say
from mlflow_modelmap.drivers.score.alone import Alone
from mlflow_modelmap.drivers.score.claims import Held, claim, end, look, still_held, who
from mlflow_modelmap.drivers.score.fetched import FetchedWeights, together
from mlflow_modelmap.drivers.score.found import believed
from mlflow_modelmap.drivers.score.name_taken import check_name
from mlflow_modelmap.drivers.score.next_base import next_base
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare, prepare_unscored
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.score_into import NOT_LOGGED, ScoredModel, score_into
from mlflow_modelmap.drivers.score.sweep_rows import FAILED, SCORED, SKIPPED, SweepRow, planned
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.drivers.score.workers.progress import SweepProgress
from mlflow_modelmap.errors import ModelMapError, TrackingError
from mlflow_modelmap.scoring.load.loaded_base import LoadedBase
from mlflow_modelmap.scoring.model.reference import HUB
from mlflow_modelmap.scoring.settings import TRANSFORMERS
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.find_score import holds_scores_of_0_1_0, scores_with
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.reason import reason_with_type
from mlflow_modelmap.words.redact import redact

WAIT_SECONDS = 1.0
"""Between two looks at what others are scoring, once there is nothing else to do."""


class Parent:
    """The sweep's own run, which is made when a model first needs it."""

    def __init__(self, opening: AbstractContextManager[OpenRun], shown: bool = False) -> None:
        self.opening, self.shown = opening, shown
        self.run: OpenRun | None = None

    def open(self) -> OpenRun:
        """It, made if it was not there."""
        if self.run is None:
            self.run = self.opening.__enter__()
            where = (
                f"`modelmap sweep --status {self.run.run_id}` says from elsewhere how far it is."
            )
            say(where, self.shown)
        return self.run

    def __enter__(self) -> Parent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self.opening.__exit__(kind, error, trace) if self.run is not None else None


@dataclass
class Work:
    """What has to be known to score the models of a plan.

    Attributes
    ----------
    parent
        Gives the run under which those of the models are.
    done, left
        Scores that were there when the sweep began, and what killed work left, by identity.
    one_by_one
        Whether each model is looked for by itself, and `done` is not asked.
    formerly
        Whether models are looked for by what version 0.1.0 called them too; None to ask the store.
    task
        By which whoever gave this out knows its run again.
    moved
        Called with the tokens scored so far and those to score in all.
    fetched
        What was fetched from the Hub, if not all of it is to stay.
    """

    store: MlflowClient
    texts: TextSet
    experiment_id: str
    parent: Callable[[], OpenRun]
    done: Mapping[str, list[Point]] = field(default_factory=dict)
    left: dict[str, list[Run]] = field(default_factory=dict)
    again: bool = False
    progress: bool = False
    tell: Callable[[SweepRow], None] = lambda row: None
    one_by_one: bool = False
    formerly: bool | None = None
    task: str | None = None
    moved: Callable[[int, int], None] | None = None
    fetched: FetchedWeights | None = None
    tokens: TokenCache = field(default_factory=TokenCache)
    base: LoadedBase = field(default_factory=LoadedBase)
    alone: Alone = field(default_factory=Alone)
    _quiet: ExitStack | None = None

    def all(self, asked: Sequence[ScoreRequest], status: SweepProgress) -> tuple[SweepRow, ...]:
        """What becomes of every model; those that others are scoring come last."""
        try:
            with ExitStack() as self._quiet:
                return self._all(asked, status)
        finally:
            self._quiet = None
            self.base.let_go()

    def _all(self, asked: Sequence[ScoreRequest], status: SweepProgress) -> tuple[SweepRow, ...]:
        rows: dict[int, SweepRow] = {}
        order = range(len(asked)) if self.fetched is None else together(asked)
        todo: list[tuple[int, Held | None]] = [(number, None) for number in order]
        while todo:
            held_still: list[tuple[int, Held | None]] = []
            for place, (number, held) in enumerate(todo):
                look_up()
                if held is not None and still_held(held.run.info.run_id, self.store):
                    held_still.append((number, held))
                    continue
                name = asked[number].point_name
                after = [asked[later] for later, _ in todo[place + 1 :]]
                self.moved = lambda done, total, number=number: self._moved(
                    status, number, done, total
                )
                try:
                    label = f"[{number + 1}/{len(asked)}] {name}"
                    rows[number] = self.row(asked[number], label, after)
                    status.ended(number, rows[number].state, rows[number].state != SKIPPED)
                    self.tell(rows[number])
                except Held as by:
                    self.alone.meets()
                    if held is None:
                        say(f"{who(by.run)} is scoring {name!r}; it comes last.", self.progress)
                    held_still.append((number, by))
            self.base.let_go()
            if len(held_still) == len(todo):
                time.sleep(WAIT_SECONDS)
            todo = held_still
        return tuple(rows[number] for number in range(len(asked)))

    def _moved(self, status: SweepProgress, number: int, done: int, total: int) -> None:
        status.moved(number, done, total)
        self.say_status(status)

    def say_status(self, status: SweepProgress) -> None:
        """Write into the sweep's run how far it is, now and then."""
        if status.due():
            self.parent().say(schema.TAG_PROGRESS, status.written())

    def row(self, request: ScoreRequest, label: str, after: Sequence[ScoreRequest]) -> SweepRow:
        """What becomes of one model; why, if it cannot be scored. `after` are those after it.

        Raises
        ------
        Held
            If another process is scoring it.
        """
        try:
            return self.one(request, label, after)
        except Held:
            raise
        except Exception as error:
            return self.failed(request, error)
        finally:
            free_memory(kept=self.base.holds)

    def failed(self, request: ScoreRequest, error: Exception) -> SweepRow:
        """The row of a model that could not be scored.

        Raises
        ------
        TrackingError
            If the store is gone, or takes no artifacts any more, which ends the sweep.
        """
        if isinstance(error, TrackingError):
            check_reachable(self.store)
            said = str(error)
            if NOT_LOGGED in said:
                self._check_artifacts(said)
        elif isinstance(error, ModelMapError):
            said = redact(str(error))
        else:
            said = reason_with_type(error)
        return replace(planned(request), state=FAILED, error=said)

    def _check_artifacts(self, said: str) -> None:
        """End the sweep where artifacts cannot be written at all: each model would wait in vain."""
        try:
            check_artifacts_writable(self.store, run_id=self.parent().run_id)
        except TrackingError as error:
            raise TrackingError(
                f"{said.rstrip('.')}; the sweep ends here, as nothing more can be logged."
            ) from error

    def one(
        self, request: ScoreRequest, label: str = "", after: Sequence[ScoreRequest] = ()
    ) -> SweepRow:
        """Score one model, or find that it is scored."""
        try:
            prepared = self.prepare(request)
            sure = not self.one_by_one and self.alone.needs_no_look(prepared.identity)
            there = self.there(prepared, sure=sure)
            return self._scored(prepared, label, after) if there is None else there
        finally:
            self.not_needed(request)

    def prepare(self, request: ScoreRequest) -> Prepared:
        """The model's files at hand, fetched if need be; no weights of what is scored already."""
        if self.fetched is not None and request.reference.kind == HUB:
            return self.fetched.watch(
                request,
                partial(prepare, request, self.texts),
                partial(prepare, request, self.texts, weights=False),
                None if self.again else self._is_done,
            )
        fetch = partial(prepare, request, self.texts)
        if not self.again:
            fetch = partial(prepare_unscored, request, self.texts, self._is_done)
        return fetch() if self.fetched is None else self.fetched.watch(request, fetch)

    def not_needed(self, request: ScoreRequest, *, came: bool = False) -> bool:
        """A model has come to its end, or waits for others; whether what was fetched may go."""
        if self.fetched is not None:
            self.fetched.not_needed(request, came=came)
        return self.fetched is not None

    def _scored(self, prepared: Prepared, label: str, after: Sequence[ScoreRequest]) -> SweepRow:
        ready = self.tokens.ready(prepared, again=self.again)
        with (
            self.open_for(prepared) as run,
            progress_bar(label, self.progress, stays=False) as bar,
        ):
            if not self.again:
                claim(prepared, run)
            self.alone.claims(prepared.identity)
            if ready.kept is None:
                self._be_quiet(prepared)
                self.base.expected = next_base(prepared, after, self.prepare, self._is_done)

            def moved(done: int, total: int) -> None:
                bar(done, total)
                if self.moved is not None:
                    self.moved(done, total)

            made = score_into(run, ready, moved, self.base)
        return scored_row(prepared, made)

    def _be_quiet(self, prepared: Prepared) -> None:
        """From the first model to the end of `all`: to be quiet for each one costs more."""
        if self._quiet is not None and prepared.request.settings.engine == TRANSFORMERS:
            from mlflow_modelmap.scoring.load.load import quiet_transformers

            self._quiet.enter_context(quiet_transformers())
            self._quiet = None

    def there(
        self, prepared: Prepared, *, made: bool = False, sure: bool = False
    ) -> SweepRow | None:
        """The row of a model that is scored already; what killed work left of it is ended.

        Where the sweep is `sure` enough that no other process has it, the store is not asked.

        Raises
        ------
        Held
            If another process is scoring it.
        InputError
            If another model has its name, and its vector is not `made` yet.
        """
        for key in prepared.identities:
            for left in self.left.pop(key, ()):
                end(left, self.store)
        there = None if self.one_by_one else self._done(prepared)
        # Another process may have scored it since.
        if there is None and not self.again and not sure:
            formerly = self.one_by_one and self.looks_formerly()
            there = look(prepared, self.experiment_id, self.store, formerly=formerly)
        if there is None:
            if not made:
                check_name(prepared, self.experiment_id, self.store)
            return None
        bits = there.bits_per_byte
        row = planned(prepared.request)
        return replace(row, state=SKIPPED, run_id=there.run_id, bits_per_byte=bits)

    def looks_formerly(self) -> bool:
        """Whether there are scores of version 0.1.0, which go by another name."""
        if self.formerly is None:
            self.formerly = holds_scores_of_0_1_0(self.experiment_id, self.store)
        return self.formerly

    def open_for(self, prepared: Prepared) -> AbstractContextManager[OpenRun]:
        """The run of a model, under the sweep's."""
        return open_run(
            schema.KIND_SCORE,
            store=self.store,
            name=prepared.request.point_name,
            parent=self.parent(),
            tags={**prepared.tags, schema.TAG_TASK: self.task},
        )

    def _done(self, prepared: Prepared) -> Point | None:
        """The score, if it was there when the sweep began."""
        if self.one_by_one and not self.again:
            return believed(
                prepared,
                scores_with(
                    prepared.identities,
                    [self.experiment_id],
                    self.store,
                    texts=len(self.texts),
                ),
            )
        found = (p for key in prepared.identities for p in self.done.get(key, ()))
        return believed(prepared, found)

    def _is_done(self, prepared: Prepared) -> bool:
        return self._done(prepared) is not None


def scored_row(prepared: Prepared, made: ScoredModel) -> SweepRow:
    """The row of a model that has just been scored."""
    return replace(
        planned(prepared.request),
        state=SCORED,
        run_id=made.run_id,
        bits_per_byte=made.bits_per_byte,
        seconds=made.seconds,
        notices=made.notices,
    )
