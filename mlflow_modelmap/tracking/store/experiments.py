"""Tracking: experiments by name, by id, the current one, or all that there are."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking.store.client import client
from mlflow_modelmap.tracking.store.failures import failed, is_missing
from mlflow_modelmap.tracking.store.paging import every
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.redact import redact
from mlflow_modelmap.words.shortened import shortened

_LISTED = 20
_LONGEST = 256
"""Characters of an experiment's name that every database of MLflow's holds; sqlite takes more."""


def experiment_id(name: str | None = None, store: MlflowClient | None = None) -> str:
    """The id of an experiment, made if it is not there; without a name, the current one.

    The current one is what `mlflow.set_experiment`, ``MLFLOW_EXPERIMENT_NAME`` or
    ``MLFLOW_EXPERIMENT_ID`` says, else MLflow's default experiment.

    Raises
    ------
    TrackingError
        If it was deleted, an id in the environment leads nowhere, or the store cannot answer.
    """
    store = store or client()
    if not name:
        return _current_experiment_id(store)
    if "\0" in name:
        raise InputError(f"The name of the experiment {name!r} holds a NUL; give one without.")
    try:
        found = _by_name(name, store) or _made(name, store)
    except MlflowException as error:
        raise _failed(error, store) from error
    return _not_deleted(found)


def _not_deleted(found: Experiment) -> str:
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"The experiment {found.name!r} was deleted; restore it with `mlflow experiments "
            f"restore -x {found.experiment_id}`, or choose another one."
        )
    return found.experiment_id


def _by_name(name: str, store: MlflowClient) -> Experiment | None:
    """The experiment of this name, if there is one.

    Raises
    ------
    TrackingError
        If the store takes another name for the same.
    """
    found: Experiment | None = store.get_experiment_by_name(name)
    # Databricks writes a path its own way.
    if found is None or found.name == name or store.tracking_uri.startswith("databricks"):
        return found
    raise TrackingError(
        f"The database behind {redact(store.tracking_uri)!r} takes the experiment {name!r} for "
        f"{found.name!r}, which is there; write it so, or take a name that is another in small "
        "letters too, without accents and emoji."
    )


def _made(name: str, store: MlflowClient) -> Experiment:
    try:
        return store.get_experiment(store.create_experiment(name))
    except MlflowException as error:
        found = _by_name(name, store)  # another process was faster
        if found is not None:
            return found
        if len(name) > _LONGEST and error.error_code != "INVALID_PARAMETER_VALUE":
            raise InputError(
                f"The name of the experiment {shortened(name)!r} has {len(name):,} characters, and "
                f"the store did not take it; give one of {_LONGEST} at most."
            ) from error
        raise


def _current_experiment_id(store: MlflowClient) -> str:
    from mlflow.tracking import fluent

    try:
        return _not_deleted(store.get_experiment(fluent._get_experiment_id() or "0"))
    except MlflowException as error:
        raise TrackingError(
            f"The current experiment cannot be found ({reason(error)}); name another one, or set "
            "MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID to one that is there."
        ) from error


def experiment_name(experiment_id: str, store: MlflowClient) -> str:
    """The name of an experiment that is there, by its id.

    Raises
    ------
    TrackingError
        If it is not, or the store cannot answer.
    """
    try:
        return store.get_experiment(experiment_id).name
    except MlflowException as error:
        raise _failed(error, store) from error


def _failed(error: MlflowException, store: MlflowClient) -> TrackingError:
    return failed("Experiments cannot be read", store.tracking_uri, error)


def find_experiments(names: Sequence[str], store: MlflowClient) -> list[Experiment]:
    """Existing experiments by name (or id); all active ones where no name is given.

    Raises
    ------
    InputError
        If one is not there; it lists those that are.
    TrackingError
        If the store cannot answer.
    """
    try:
        if not names:
            return every_experiment(store)
        return [_experiment(name, store) for name in names]
    except MlflowException as error:
        raise _failed(error, store) from error


def every_experiment(store: MlflowClient) -> list[Experiment]:
    """All active experiments, latest first."""
    return every(
        lambda most, token: store.search_experiments(
            ViewType.ACTIVE_ONLY, max_results=most, page_token=token
        )
    )


def _experiment(name: str, store: MlflowClient) -> Experiment:
    found = _by_name(name, store)
    if found is None and name.isdecimal():
        try:
            found = store.get_experiment(name)
        except MlflowException as error:
            if not is_missing(error):
                raise
    if found is None or found.lifecycle_stage == "deleted":
        there = [experiment.name for experiment in every_experiment(store)]
        raise InputError(
            f"There is no experiment {name!r} in {redact(store.tracking_uri)!r}; there "
            f"{'is' if len(there) == 1 else 'are'} {listed(there, _LISTED)}."
        )
    return found
