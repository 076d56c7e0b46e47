"""Driver: score many models, revisions and precisions in one process, one run each."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from mlflow import MlflowClient

from mlflow_modelmap.drivers.process import stopping
from mlflow_modelmap.drivers.process.progress import token_bar
from mlflow_modelmap.drivers.score.one_score import ScoreRequest, TokenCache, prepare, score_into
from mlflow_modelmap.drivers.score.plan_file import parse_plan, read_plan, requests
from mlflow_modelmap.drivers.score.score import load_texts
from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.find_score import scored
from mlflow_modelmap.tracking.runs.log_values import OpenRun
from mlflow_modelmap.tracking.runs.open_run import joins, open_run, target_experiment
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.schema import SWEEP_TABLE
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.quiet import quiet
from mlflow_modelmap.words.redact import redact

SCORED, SKIPPED, FAILED, PLANNED = "scored", "skipped", "failed", "planned"


@dataclass(frozen=True)
class SweepRow:
    """What became of one model of a plan.

    Attributes
    ----------
    point, model, revision, precision, trajectory, step
        Which model; the precision as asked for.
    state
        ``scored``, ``skipped`` (was scored already), ``failed``, or ``planned`` (a dry run).
    run_id, bits_per_byte, seconds
        Where they are known.
    error
        Why it failed, in one sentence.
    """

    point: str
    model: str
    revision: str | None
    precision: str
    trajectory: str | None
    step: int | None
    state: str = PLANNED
    run_id: str | None = None
    bits_per_byte: float | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep that has been worked through.

    Attributes
    ----------
    run_id
        Its parent run; None where there was nothing to do, or in a dry run.
    experiment_id
        Where its runs are; None in a dry run.
    rows
        One a model, in the plan's order.
    """

    run_id: str | None
    experiment_id: str | None
    rows: tuple[SweepRow, ...]

    def count(self, state: str) -> int:
        """How many models ended in a state."""
        return sum(row.state == state for row in self.rows)


def sweep(
    plan: str | os.PathLike[str] | Mapping[str, Any],
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    experiment: str | None = None,
    again: bool = False,
    dry_run: bool = False,
    progress: bool = True,
) -> Sweep:
    """Score every model of a plan; what is scored already is skipped.

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

    Returns
    -------
    Sweep
        A model that failed is a row of state ``failed`` and stops nothing.

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
    if texts is None:
        if parsed.texts is None:
            raise InputError(
                "Neither the plan nor the command says which texts; write `texts:` into the plan "
                "or give --texts."
            )
        beside = folder / os.path.expanduser(parsed.texts)
        texts = beside if beside.exists() else parsed.texts
    text_set, source = load_texts(texts)
    if dry_run:
        return Sweep(None, None, tuple(_row(request) for request in asked))
    with quiet():
        store = check_reachable()
        given = joins(store)
        if not given:
            experiment = experiment or parsed.experiment
        where = target_experiment(store, experiment)
        work = _Work(
            store,
            text_set,
            source,
            {} if again else scored(where, store, text_digest=text_set.digest),
            again,
            progress,
            lambda: open_run(
                schema.KIND_SWEEP,
                store=store,
                name=parsed.name or default_name,
                experiment=experiment,
                tags={
                    schema.TAG_TEXT_SET: text_set.digest,
                    schema.TAG_TEXT_SET_NAME: text_set.name,
                },
            ),
        )
        if given:
            work.parent()
        rows = work.through(asked, written)
        return Sweep(work.run.run_id if work.run else None, where, rows)


class _SomeFailed(ModelMapError):
    """Ends the sweep's own run as FAILED, with the count as its reason."""


@dataclass
class _Work:
    """One pass over a plan. Its parent run is opened when a model first needs one."""

    store: MlflowClient
    texts: TextSet
    source: str | None
    done: dict[str, Point]
    again: bool
    progress: bool
    open_parent: Callable[[], AbstractContextManager[OpenRun]]
    run: OpenRun | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    tokens: TokenCache = field(default_factory=TokenCache)

    def parent(self) -> OpenRun:
        """The sweep's own run."""
        if self.run is None:
            self.run = self.stack.enter_context(self.open_parent())
        return self.run

    def through(self, asked: list[ScoreRequest], plan: str) -> tuple[SweepRow, ...]:
        """Every model in turn; at the end the parent says what became of them."""
        rows: list[SweepRow] = []
        with suppress(_SomeFailed), self.stack:
            self.stack.callback(gc.unfreeze)
            for number, request in enumerate(asked, start=1):
                stopping.check()
                rows.append(self.one(request, f"[{number}/{len(asked)}] {request.point_name}"))
            if self.run is not None:
                _report(self.run, rows, plan)
            failed = sum(row.state == FAILED for row in rows)
            if failed:
                raise _SomeFailed(
                    f"{failed} of {len(asked)} models failed; modelmap/runs.csv says why."
                )
        return tuple(rows)

    def one(self, request: ScoreRequest, label: str) -> SweepRow:
        """Score one model, or find that it is scored, or say why it cannot be."""
        row = _row(request)
        try:
            prepared = prepare(request, self.texts)
            found = self.done.get(prepared.identity)
            if found is not None:
                return replace(
                    row, state=SKIPPED, run_id=found.run_id, bits_per_byte=found.bits_per_byte
                )
            tokens = self.tokens.tokens_for(prepared, self.texts, again=self.again)
            with (
                open_run(
                    schema.KIND_SCORE,
                    store=self.store,
                    name=request.point_name,
                    parent_run_id=self.parent().run_id,
                    tags=prepared.tags(self.texts),
                ) as run,
                token_bar(label, self.progress, stays=False) as bar,
            ):
                made = score_into(
                    run,
                    prepared,
                    self.texts,
                    self.source,
                    again=self.again,
                    tokens=tokens,
                    progress=bar,
                )
        except TrackingError as error:
            check_reachable(self.store)  # a store that is gone ends the sweep
            return replace(row, state=FAILED, error=str(error))
        except Exception as error:
            known = isinstance(error, ModelMapError)
            text = str(error) if known else f"{type(error).__name__}: {error}"
            return replace(row, state=FAILED, error=redact(" ".join(text.split())))
        finally:
            _free_memory()
        return replace(
            row,
            state=SCORED,
            run_id=made.run_id,
            bits_per_byte=made.bits_per_byte,
            seconds=made.seconds,
        )


def _row(request: ScoreRequest) -> SweepRow:
    return SweepRow(
        point=request.point_name,
        model=request.reference.name,
        revision=request.reference.revision,
        precision=request.settings.precision,
        trajectory=request.trajectory,
        step=request.step,
    )


def _report(run: OpenRun, rows: list[SweepRow], plan: str) -> None:
    """The table of what became of each model, and the plan as written, among the artifacts."""
    frame = pd.DataFrame([asdict(row) for row in rows])
    with tempfile.TemporaryDirectory(prefix="modelmap-") as folder:
        frame.astype({"step": "Int64", "run_id": "string"}).to_parquet(
            Path(folder) / SWEEP_TABLE, index=False
        )
        frame.to_csv(Path(folder) / SWEEP_TABLE.replace(".parquet", ".csv"), index=False)
        (Path(folder) / "plan.yaml").write_text(redact(plan), encoding="utf-8")
        run.log_folder(folder)
    states = (SCORED, SKIPPED, FAILED)
    run.log(metrics={f"modelmap/{s}": float(sum(r.state == s for r in rows)) for s in states})


def _free_memory() -> None:
    """Give a model's memory back before the next one is loaded."""
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # all the libraries' objects need not be looked through after every model
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
