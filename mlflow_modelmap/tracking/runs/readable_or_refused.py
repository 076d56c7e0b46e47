"""Tracking: may this run be read - is it there, of a known kind and schema, finished?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.alive import said_of
from mlflow_modelmap.tracking.store.failures import failed, is_missing
from mlflow_modelmap.words.counted import counted
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.redact import redact
from mlflow_modelmap.words.shortened import shortened

HTTP_THREADS = 12
"""Requests at once to a server, which alone is not kept busy by one."""


def find_run(run_id: str, store: MlflowClient) -> Run:
    """A run by its id, in whatever state.

    Raises
    ------
    InputError
        If there is none.
    TrackingError
        If the store cannot answer, which says nothing about the run.
    """
    try:
        return store.get_run(run_id)
    except MlflowException as error:
        if not is_missing(error):
            raise failed(f"Run {run_id!r} cannot be read", store.tracking_uri, error) from error
        raise InputError(
            f"There is no run {run_id!r} in {redact(store.tracking_uri)!r}; copy an id from the "
            "MLflow UI, or name another store (--tracking-uri)."
        ) from None


def find_runs(run_ids: Sequence[str], store: MlflowClient) -> list[Run]:
    """As `find_run`, of many, in their order."""
    if len(run_ids) < 4 or not store.tracking_uri.startswith("http"):
        return [find_run(run_id, store) for run_id in run_ids]
    with ThreadPoolExecutor(HTTP_THREADS) as pool:
        return list(pool.map(lambda run_id: find_run(run_id, store), run_ids))


def kind_of(run: Run) -> str | None:
    """What kind of run of ours it is; None for one of somebody else's."""
    return run.data.tags.get(schema.TAG_KIND)


def unfinished(run: Run) -> str | None:
    """The state of a run that is deleted, failed or not at its end, in a word; else None.

    Each checkpoint of a monitored training is complete once the index lists it, whatever becomes
    of the training.
    """
    if run.info.lifecycle_stage != "active":
        return "deleted"
    if kind_of(run) == schema.KIND_MONITOR:
        return None
    if schema.TAG_ERROR in run.data.tags:
        return "killed" if run.info.status == "KILLED" else "failed"
    return None if run.info.status == "FINISHED" else run.info.status.lower()


def later_schema(run: Run) -> str | None:
    """The schema of a run that this version cannot know, malformed ones too; else None."""
    written = run.data.tags.get(schema.TAG_SCHEMA, schema.SCHEMA_VERSION)
    known = written.isdecimal() and int(written) <= int(schema.SCHEMA_VERSION)
    return None if known else written


def is_readable(run: Run) -> bool:
    """Whether a run of ours is complete and of a schema that this version knows."""
    return unfinished(run) is None and later_schema(run) is None


def check_not_deleted(run: Run) -> None:
    """Refuse a deleted run, to read from and to log into alike.

    Raises
    ------
    InputError
    """
    if run.info.lifecycle_stage != "active":
        run_id = run.info.run_id
        raise InputError(
            f"Run {run_id} was deleted; `mlflow runs restore --run-id {run_id}` brings it back."
        )


def check_readable(run: Run, kinds: Sequence[str] | None, *, finished: bool = True) -> None:
    """Refuse a run that was named and cannot be read.

    Parameters
    ----------
    kinds
        Of which it must be one, or None for any of ours.
    finished
        Whether it must be complete; a deleted one is refused either way.

    Raises
    ------
    InputError
        Which says why, and what to do.
    """
    run_id, kind, state = run.info.run_id, kind_of(run), unfinished(run)
    check_not_deleted(run)
    if kind is None:
        raise InputError(f"Run {run_id} is no run of mlflow-modelmap; name another run.")
    if later_schema(run) is not None:
        name = shortened(one_line(run.info.run_name or ""), 60)
        raise InputError(f"Run {run_id} ({name!r}) was written {_by_a_newer([run])}")
    if kinds is not None and kind not in kinds:
        raise InputError(
            f"Run {run_id} is of kind {kind!r}, not {listed(kinds, len(kinds))}; name another run."
        )
    if finished and state is not None:
        reason = " ".join(run.data.tags.get(schema.TAG_ERROR, "").split()).rstrip(".")
        because = f" ({reason})" if reason else ""
        instead = "wait for it" if state in ("running", "scheduled") else "make it again"
        raise InputError(
            f"Run {run_id} ({run.info.run_name!r}) is {state}{because}, not finished; {instead} "
            "or name another run."
        )


def readable_of(runs: Collection[Run], notices: list[str]) -> list[Run]:
    """Those of the runs that a search found which can be read; `notices` count the others."""
    states = Counter(filter(None, map(unfinished, runs)))
    if states:
        by_state = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        notices.append(f"Left out {counted(states.total(), 'unfinished run')}: {by_state}.")
    killed = said_of(list(runs))
    if killed:
        notices.append(killed)
    newer = [run for run in runs if unfinished(run) is None and later_schema(run) is not None]
    if newer:
        what = "run that was" if len(newer) == 1 else "runs that were"
        notices.append(f"Left out {len(newer)} {what} written {_by_a_newer(newer)}")
    return [run for run in runs if is_readable(run)]


def _by_a_newer(runs: Iterable[Run]) -> str:
    schemas = sorted({" ".join(str(later_schema(run)).split())[:20] or "empty" for run in runs})
    return (
        f"by a newer mlflow-modelmap (schema {', '.join(schemas)}; this one reads "
        f"{schema.SCHEMA_VERSION}); upgrade."
    )
