"""Driver: score many models, revisions and precisions, one run each, here or by many workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.process.memory import many_models
from mlflow_modelmap.drivers.score.claims import end
from mlflow_modelmap.drivers.score.fetched import FetchedWeights
from mlflow_modelmap.drivers.score.plan_file import Plan, parse_plan, read_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.shard import Shard
from mlflow_modelmap.drivers.score.sweep_rows import FAILED, Sweep, SweepRow, log_rows, planned
from mlflow_modelmap.drivers.score.sweep_work import Parent, Work
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.drivers.score.workers.options import LOCAL, WORKER, Workers
from mlflow_modelmap.drivers.score.workers.progress import SweepProgress
from mlflow_modelmap.drivers.score.workers.spread import spread_out
from mlflow_modelmap.errors import InputError, ModelMapError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.find_score import scored
from mlflow_modelmap.tracking.runs.left_overs import left_overs
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.long_values import run_name
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.in_filter import in_filter
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.reason import reason

FEW = 50
"""Models of a plan that are looked for one by one; for more the whole experiment is read once."""


def sweep(
    plan: str | os.PathLike[str] | Mapping[str, Any],
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    experiment: str | None = None,
    again: bool = False,
    dry_run: bool = False,
    shard: str | None = None,
    workers: Workers | int | None = None,
    keep_cache: float | None = None,
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
    shard
        Only a part of the plan: ``2/8`` is the second of eight, which together are all of it.
    workers
        How many processes score at once, or on what; by default this process alone.
    keep_cache
        How many GB of the weights that this sweep fetches from the Hub stay on disk; by default
        all. On a cluster its nodes have to share the Hub's cache with this machine.
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
    part = None if shard is None else Shard.parse(shard)
    if part is not None:
        asked = part.of_these(asked)
    if isinstance(workers, int):
        workers = Workers(count=workers)
    spread = None if workers is None else workers.checked()
    if keep_cache is not None and not keep_cache >= 0:
        raise InputError(f"keep_cache is {keep_cache}; it must be 0 GB or more.")
    would_be = tuple(planned(request) for request in asked) if dry_run else ()
    if dry_run and texts is None and parsed.texts is None:  # it is the same on any
        return Sweep(None, None, would_be)
    text_set = load_texts(_texts_of(parsed, folder) if texts is None else texts)
    if dry_run:
        return Sweep(None, None, would_be)
    with quiet():
        store = check_reachable()
        given = joins(store)
        if not given:
            experiment = experiment or parsed.experiment
            check_artifacts_writable(store, experiment)
        where = target_experiment(store, experiment)
        name = parsed.name or default_name
        if part is not None:
            name = f"{name} {part}"
        left = _left_of(name, text_set, where, store)
        done: Mapping[str, list[Point]] = {}
        one_by_one = _looks_one_by_one(asked, spread)
        if not again and not one_by_one:
            names = {request.reference.name for request in asked}
            few = len(names) <= FEW and all(map(in_filter, names))
            done = scored(
                where,
                store,
                text_digest=text_set.digest,
                texts=len(text_set),
                models=names if few else None,
            )
        parent = Parent(
            open_run(
                schema.KIND_SWEEP,
                store=store,
                name=name,
                experiment=experiment,
                tags={
                    schema.TAG_TEXT_SET: text_set.digest,
                    schema.TAG_TEXT_SET_NAME: text_set.name,
                    schema.TAG_SHARD: None if part is None else str(part),
                },
            ),
            shown=progress,
        )
        not_logged: str | None = None
        with suppress(_SomeFailed), parent, many_models(), ExitStack() as at_the_end:
            if given:
                parent.open()
            work = Work(store, text_set, where, parent.open, done, left, again, progress, tell)
            work.one_by_one = one_by_one
            if keep_cache is not None:
                work.fetched = FetchedWeights(1e9 * keep_cache, asked)
                at_the_end.callback(work.fetched.close)
            status = SweepProgress(len(asked), progress)
            if spread is None:
                rows, deaths = work.all(asked, status), tuple[str, ...]()
            else:
                rows, deaths = spread_out(work, asked, spread, status)
            if parent.run is not None:
                parent.run.say(schema.TAG_PROGRESS, status.written())
                not_logged = _log(parent.run, rows, written)
            failed = sum(row.state == FAILED for row in rows)
            if not_logged:
                raise _SomeFailed(not_logged)
            if failed:
                raise _SomeFailed(
                    f"{failed} of {len(asked)} models failed; modelmap/runs.csv says why."
                )
        notices = deaths + _changed(plan, written)
        return Sweep(parent.run.run_id if parent.run else None, where, rows, not_logged, notices)


def _looks_one_by_one(asked: Sequence[ScoreRequest], spread: Workers | None) -> bool:
    """Whether the store is asked for each model as it comes, here or by the workers.

    Workers of a cluster that do not log are told before what they need not make.
    """
    if spread is None or spread.on == LOCAL:
        return len(asked) <= FEW
    return spread.log_from == WORKER


def _changed(plan: str | os.PathLike[str] | Mapping[str, Any], written: str) -> tuple[str, ...]:
    """What is to be said of a plan that is not what it was when it was read."""
    with suppress(OSError, ValueError):
        if isinstance(plan, Mapping) or Path(plan).read_text(encoding="utf-8") == written:
            return ()
        return (
            f"The plan {os.fspath(plan)!r} was changed meanwhile; this sweep went by what it read "
            "when it began, so start it again for the rest.",
        )
    return ()


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
        if tags[schema.TAG_KIND] == schema.KIND_SWEEP and run.info.run_name == run_name(name):
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
