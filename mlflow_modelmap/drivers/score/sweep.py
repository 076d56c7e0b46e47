"""Driver: score many models, revisions and precisions in one process, one run each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.process.memory import free_memory, many_models
from mlflow_modelmap.drivers.process.progress import look_up, progress_bar, say
from mlflow_modelmap.drivers.score.claims import Held, claim, end, look, still_held, who
from mlflow_modelmap.drivers.score.found import believed
from mlflow_modelmap.drivers.score.next_base import next_base
from mlflow_modelmap.drivers.score.plan_file import Plan, parse_plan, read_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.drivers.score.prepare import Prepared, prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.score_into import score_into
from mlflow_modelmap.drivers.score.sweep_rows import (
    FAILED,
    SCORED,
    SKIPPED,
    Sweep,
    SweepRow,
    log_rows,
    planned,
)
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.scoring.load.loaded_base import LoadedBase
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.find_score import scored
from mlflow_modelmap.tracking.runs.left_overs import left_overs
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.reason import reason, reason_with_type
from mlflow_modelmap.words.redact import redact

_WAIT_SECONDS = 1.0
"""Between two looks at what others are scoring, once there is nothing else to do."""


def sweep(
    plan: str | os.PathLike[str] | Mapping[str, Any],
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    experiment: str | None = None,
    again: bool = False,
    dry_run: bool = False,
    progress: bool = True,
    tell: Callable[[SweepRow], None] = lambda row: None,
) -> Sweep:
    """Score every model of a plan; what is scored already is skipped.

    What another process is scoring just now comes last, and is waited for. Runs that an earlier,
    killed sweep of the plan left over are ended.

    Parameters
    ----------
    plan
        Path of a YAML file, or the same as plain Python values (see docs/sweep.md).
    texts, experiment
        Instead of the plan's own.
    again
        Whether to score what is scored already.
    dry_run
        Whether only to say what would be scored; no model is opened and no store is asked.
    progress
        Whether progress bars are shown on stderr.
    tell
        Called with what became of each model, as soon as that is known.

    Returns
    -------
    Sweep
        A model that failed is a row of state ``failed`` and stops nothing; if all of it could not
        be logged, `not_logged` says why.

    Raises
    ------
    InputError
        If the plan or the texts cannot be right.
    TrackingError
        If the store cannot be reached, before scoring or from some model on.
    """
    if isinstance(plan, Mapping):
        parsed, folder, default_name = parse_plan(plan), Path.cwd(), "sweep"
        written = yaml.safe_dump(dict(plan), sort_keys=False, allow_unicode=True)
    else:
        parsed, written = read_plan(plan)
        folder, default_name = Path(plan).absolute().parent, Path(plan).stem
    asked = requests(parsed, folder)
    text_set = load_texts(_texts_of(parsed, folder) if texts is None else texts)
    if dry_run:
        return Sweep(None, None, tuple(planned(request) for request in asked))
    with quiet():
        store = check_reachable()
        given = joins(store)
        if not given:
            experiment = experiment or parsed.experiment
        where = target_experiment(store, experiment)
        name = parsed.name or default_name
        left = _left_of(name, text_set, where, store)
        done: Mapping[str, list[Point]] = {}
        if not again:
            done = scored(where, store, text_digest=text_set.digest, texts=len(text_set))
        parent = _Parent(
            open_run(
                schema.KIND_SWEEP,
                store=store,
                name=name,
                experiment=experiment,
                tags={
                    schema.TAG_TEXT_SET: text_set.digest,
                    schema.TAG_TEXT_SET_NAME: text_set.name,
                },
            )
        )
        not_logged: str | None = None
        with suppress(_SomeFailed), parent, many_models():
            if given:
                parent.open()
            work = _Work(store, text_set, where, done, left, parent, again, progress, tell)
            rows = work.all(asked)
            if parent.run is not None:
                not_logged = _log(parent.run, rows, written)
            failed = sum(row.state == FAILED for row in rows)
            if not_logged:
                raise _SomeFailed(not_logged)
            if failed:
                raise _SomeFailed(
                    f"{failed} of {len(asked)} models failed; modelmap/runs.csv says why."
                )
        return Sweep(parent.run.run_id if parent.run else None, where, rows, not_logged)


def _log(run: OpenRun, rows: Sequence[SweepRow], plan: str) -> str | None:
    """Log what became of the models; why, if that cannot be: it is no reason not to tell it."""
    try:
        log_rows(run, rows, plan)
    except Exception as error:
        return f"What became of the models could not be logged ({reason(error)})."
    return None


def _left_of(
    name: str, texts: TextSet, experiment_id: str, store: MlflowClient
) -> dict[str, list[Run]]:
    """End what earlier sweeps of this name left over; their scores come by identity."""
    left: dict[str, list[Run]] = {}
    for run, _ in left_overs([experiment_id], store):
        tags = run.data.tags
        if tags.get(schema.TAG_TEXT_SET) != texts.digest:
            continue
        if tags[schema.TAG_KIND] == schema.KIND_SWEEP and run.info.run_name == name:
            end(run, store)
        elif tags[schema.TAG_KIND] == schema.KIND_SCORE and tags.get(schema.TAG_IDENTITY):
            left.setdefault(tags[schema.TAG_IDENTITY], []).append(run)
    return left


def _texts_of(plan: Plan, folder: Path) -> str | Path:
    """The texts that a plan names; a file is looked for beside the plan first."""
    if plan.texts is None:
        raise InputError(
            "Neither the plan nor the command says which texts; write `texts:` into the plan "
            "or give --texts."
        )
    beside = folder / os.path.expanduser(plan.texts)
    return beside if os.path.exists(beside) else plan.texts


class _SomeFailed(ModelMapError):
    """Ends the sweep's own run as FAILED, with the count as its reason."""


class _Parent:
    """The sweep's own run, which is made when a model first needs it."""

    def __init__(self, opening: AbstractContextManager[OpenRun]) -> None:
        self.opening = opening
        self.run: OpenRun | None = None

    def open(self) -> OpenRun:
        if self.run is None:
            self.run = self.opening.__enter__()
        return self.run

    def __enter__(self) -> _Parent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self.opening.__exit__(kind, error, trace) if self.run is not None else None


@dataclass
class _Work:
    """One pass over the models of a plan."""

    store: MlflowClient
    texts: TextSet
    experiment_id: str
    done: Mapping[str, list[Point]]
    left: dict[str, list[Run]]
    parent: _Parent
    again: bool
    progress: bool
    tell: Callable[[SweepRow], None]
    tokens: TokenCache = field(default_factory=TokenCache)
    base: LoadedBase = field(default_factory=LoadedBase)

    def all(self, asked: Sequence[ScoreRequest]) -> tuple[SweepRow, ...]:
        """What becomes of every model; those that others are scoring come last."""
        try:
            return self._all(asked)
        finally:
            self.base.let_go()

    def _all(self, asked: Sequence[ScoreRequest]) -> tuple[SweepRow, ...]:
        rows: dict[int, SweepRow] = {}
        todo: list[tuple[int, Held | None]] = [(number, None) for number in range(len(asked))]
        while todo:
            held_still: list[tuple[int, Held | None]] = []
            for place, (number, held) in enumerate(todo):
                look_up()
                if held is not None and still_held(held.run.info.run_id, self.store):
                    held_still.append((number, held))
                    continue
                name = asked[number].point_name
                after = [asked[later] for later, _ in todo[place + 1 :]]
                try:
                    label = f"[{number + 1}/{len(asked)}] {name}"
                    rows[number] = self.row(asked[number], label, after)
                    self.tell(rows[number])
                except Held as by:
                    if held is None:
                        say(f"{who(by.run)} is scoring {name!r}; it comes last.", self.progress)
                    held_still.append((number, by))
            self.base.let_go()
            if len(held_still) == len(todo):
                time.sleep(_WAIT_SECONDS)
            todo = held_still
        return tuple(rows[number] for number in range(len(asked)))

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
        except TrackingError as error:
            check_reachable(self.store)  # a store that is gone ends the sweep
            return replace(planned(request), state=FAILED, error=str(error))
        except ModelMapError as error:
            return replace(planned(request), state=FAILED, error=redact(str(error)))
        except Exception as error:
            return replace(planned(request), state=FAILED, error=reason_with_type(error))
        finally:
            free_memory(kept=self.base.holds)

    def one(self, request: ScoreRequest, label: str, after: Sequence[ScoreRequest]) -> SweepRow:
        """Score one model, or find that it is scored."""
        prepared = prepare(request, self.texts)
        row = planned(prepared.request)
        for key in prepared.identities:
            for left in self.left.pop(key, ()):
                end(left, self.store)
        there = self._done(prepared)
        if there is None and not self.again:  # another process may have scored it since
            there = look(prepared, self.experiment_id, self.store, formerly=False)
        if there is not None:
            bits = there.bits_per_byte
            return replace(row, state=SKIPPED, run_id=there.run_id, bits_per_byte=bits)
        ready = self.tokens.ready(prepared, again=self.again)
        with (
            open_run(
                schema.KIND_SCORE,
                store=self.store,
                name=prepared.request.point_name,
                parent=self.parent.open(),
                tags=prepared.tags,
            ) as run,
            progress_bar(label, self.progress, stays=False) as bar,
        ):
            if not self.again:
                claim(prepared, run)
            if ready.kept is None:
                self.base.expected = next_base(prepared, after, self._is_done)
            made = score_into(run, ready, bar, self.base)
        return replace(
            row,
            state=SCORED,
            run_id=made.run_id,
            bits_per_byte=made.bits_per_byte,
            seconds=made.seconds,
            notices=made.notices,
        )

    def _done(self, prepared: Prepared) -> Point | None:
        """The score, if it was there when the sweep began."""
        found = (p for key in prepared.identities for p in self.done.get(key, ()))
        return believed(prepared, found)

    def _is_done(self, prepared: Prepared) -> bool:
        return self._done(prepared) is not None
