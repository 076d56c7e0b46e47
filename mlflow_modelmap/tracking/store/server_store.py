"""Tracking: the store of the MLflow server that this process is, as far as a reader may see it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Experiment, Metric, Run, ViewType
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking.store.database import experiment_of, has_database, tags_of
from mlflow_modelmap.tracking.store.failures import STORE_ERRORS, Unanswered, is_missing
from mlflow_modelmap.tracking.store.paging import every
from mlflow_modelmap.words.reason import reason

IDS_A_SEARCH = 200
"""Run ids that one filter names; sqlite takes no more than 999 values in a statement."""
_NOWHERE = "0"
"""Asked about in place of the experiment of a run that is not there: MLflow's first."""

MayRead = Callable[[Sequence[str]], Collection[str]]
"""Of these experiment ids, those whose runs the one who asks may read."""


def everybody(experiment_ids: Sequence[str]) -> Collection[str]:
    """Of a server without users: all."""
    return experiment_ids


@dataclass(frozen=True)
class ServerStore:
    """Reads of a server's own tracking store, in place of a client's over HTTP.

    A worker that asked its own server would wait for itself. Nothing is written.

    Attributes
    ----------
    store
        MLflow's store object of this process.
    place
        From a run's artifact URI to where the artifacts lie for this process.
    may_read
        Which experiments the one who asks may read.
    """

    store: Any
    place: Callable[[str], str]
    may_read: MayRead = everybody

    @property
    def tracking_uri(self) -> str:
        """Of the store, for what asks as if of a client."""
        return str(getattr(self.store, "db_uri", ""))

    def experiments(self) -> list[Experiment]:
        """All active experiments that may be read, latest first."""
        with answering():
            found: list[Experiment] = every(
                lambda most, token: self.store.search_experiments(
                    ViewType.ACTIVE_ONLY, most, page_token=token
                )
            )
        seen = set(self.may_read([e.experiment_id for e in found]))
        return [e for e in found if e.experiment_id in seen]

    def find_experiment(self, experiment_id: str) -> Experiment | None:
        """An experiment, deleted ones too; None where it is not there or may not be read.

        The store is asked only for one that may be read.
        """
        if experiment_id not in set(self.may_read([experiment_id])):
            return None
        return _or_none(lambda: self.store.get_experiment(experiment_id))

    def find_run(self, run_id: str) -> Run | None:
        """A run, deleted ones too; None where it is not there or may not be read.

        The same is done in both cases, so that no time tells them apart: where a run lies is one
        look into an index, and what it holds is read only for those who may.
        """
        run = None
        if has_database(self.store):
            with answering():
                where = experiment_of(self.store, run_id)
        else:
            run = _or_none(lambda: self.store.get_run(run_id))
            where = None if run is None else run.info.experiment_id
        readable = set(self.may_read([_NOWHERE if where is None else where]))
        if where is None or where not in readable:
            return None
        return run or _or_none(lambda: self.store.get_run(run_id))

    def get_run(self, run_id: str) -> Run:
        """As a client's, with the artifact URI of this process; for a run that was found before."""
        with answering():
            run = self.store.get_run(run_id)
        run.info._artifact_uri = self.place(run.info.artifact_uri)
        return run

    def search(
        self, experiment_ids: Sequence[str], filter: str, most: int | None = None
    ) -> list[Run]:
        """Active runs of experiments that may be read, latest first; at most `most`."""
        if not experiment_ids:
            return []
        with answering():
            return every(
                lambda wanted, token: self.store.search_runs(
                    list(experiment_ids),
                    filter,
                    ViewType.ACTIVE_ONLY,
                    wanted,
                    ["attributes.start_time DESC"],
                    token,
                ),
                most=most,
            )

    def runs_by_id(self, run_ids: Sequence[str]) -> dict[str, Run]:
        """Those of the runs that are active, by id; the others are left out."""
        where = [experiment.experiment_id for experiment in self.experiments()]
        found: dict[str, Run] = {}
        ids = _run_ids(run_ids)
        for start in range(0, len(ids), IDS_A_SEARCH):
            listed = ", ".join(f"'{run_id}'" for run_id in ids[start : start + IDS_A_SEARCH])
            for run in self.search(where, f"attributes.run_id IN ({listed})"):
                found[run.info.run_id] = run
        return found

    def tags_by_id(
        self, run_ids: Sequence[str], experiment_ids: Collection[str]
    ) -> dict[str, tuple[str, Mapping[str, str]]]:
        """Experiment id and tags of those of the runs that are active, by id.

        Parameters
        ----------
        experiment_ids
            Experiments that may be read, as `experiments` gives them; runs elsewhere are left out.
        """
        if has_database(self.store):
            with answering():
                found = tags_of(self.store, _run_ids(run_ids), set(experiment_ids), IDS_A_SEARCH)
                return {**found}
        runs = self.runs_by_id(run_ids)
        return {
            of: (run.info.experiment_id, run.data.tags)
            for of, run in runs.items()
            if run.info.experiment_id in experiment_ids
        }

    def metric_history(self, run_id: str, key: str) -> list[Metric]:
        """All values that a metric of a run ever had, by step."""
        with answering():
            values: list[Metric] = every(
                lambda most, token: self.store.get_metric_history(run_id, key, most, token)
            )
        return sorted(values, key=lambda metric: (metric.step, metric.timestamp))


def _run_ids(run_ids: Sequence[str]) -> list[str]:
    """Each once; one that is none comes from a table that someone wrote, and would end a filter."""
    return [of for of in dict.fromkeys(run_ids) if re.fullmatch(r"[\w-]+", str(of), re.ASCII)]


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Say in a sentence that the store failed.

    Raises
    ------
    TrackingError
    """
    try:
        yield
    except STORE_ERRORS as error:
        raise Unanswered(
            f"The tracking store of this server does not answer ({reason(error)}); look into its "
            "log."
        ) from error


def _or_none(ask: Callable[[], Any]) -> Any:
    """What the store gives, or None where it has no such thing."""
    with answering():
        try:
            return ask()
        except ValueError:  # of older versions of MLflow, for an experiment id that is no number
            return None
        except MlflowException as error:
            if is_missing(error):
                return None
            raise


def place_in_server(artifact_uri: str) -> str:
    """Where the artifacts of a run lie for a process of `mlflow server`.

    Artifacts that the server itself hands out (``mlflow-artifacts:``) are looked up in its
    ``--artifacts-destination``, never asked for over HTTP.

    Raises
    ------
    TrackingError
        If they are another server's.
    """
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, handlers

    try:
        if handlers._is_servable_proxied_run_artifact_root(artifact_uri):
            path = handlers._get_proxied_run_artifact_destination_path(artifact_uri)
            # Older MLflow has no workspaces.
            scoped = getattr(handlers, "_get_workspace_scoped_repo_path_if_enabled", None)
            path = scoped(path) if scoped else path
            return f"{os.environ[ARTIFACTS_DESTINATION_ENV_VAR].rstrip('/')}/{path}"
        if artifact_uri.startswith(("mlflow-artifacts:", "http:", "https:")):
            raise TrackingError(
                "The artifacts of this run are handed out by another server than this one; start "
                "this one with --serve-artifacts, or open the page of the other."
            )
    except MlflowException as error:
        raise Unanswered(
            f"The artifacts of this run cannot be read by this server: {reason(error)}"
        ) from error
    return artifact_uri


def own_store(may_read: MayRead = everybody) -> ServerStore:
    """The store of the `mlflow server` process that this is."""
    from mlflow.server import handlers

    return ServerStore(handlers._get_tracking_store(), place_in_server, may_read)
