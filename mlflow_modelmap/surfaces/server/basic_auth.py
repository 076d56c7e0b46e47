"""Surface: `mlflow server --app-name modelmap-basic-auth`, behind MLflow's own users."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mlflow_modelmap.surfaces.server.starting import tell_start

APP_NAME = "modelmap-basic-auth"

_log = logging.getLogger(__name__)


def create_app() -> Any:
    """MLflow's app with basic auth and the page beside it, for what each user may read.

    Raises
    ------
    MlflowException
        If MLflow's extra ``auth`` is not installed, or its auth has changed so far that nobody
        could be kept out.
    """
    auth = _auth()

    from mlflow.server import app
    from mlflow.server.handlers import _add_static_prefix

    from mlflow_modelmap.surfaces.server.routes import blueprint, paths

    prefix = _add_static_prefix("")
    app.register_blueprint(blueprint(prefix, may_read))
    # Where unknown routes are refused (MLFLOW_BASIC_AUTH_FAIL_CLOSED), these are known: every
    # logged-in user may ask, and the answers hold what that user may read.
    for path in paths(prefix):
        auth.BEFORE_REQUEST_VALIDATORS[(path, "GET")] = auth._allow_authenticated
    return auth.create_app(app)


def may_read(experiment_ids: Sequence[str]) -> Collection[str]:
    """Of these experiments, those whose runs the user of this request may read in MLflow.

    The user is the one that the server authenticated before it asked us: nobody is authenticated
    again, and what cannot be decided may not be read.
    """
    from flask import g

    try:
        if "modelmap_readable" not in g:
            g.modelmap_readable = _readable(g.get("mlflow_authenticated_user"))
        readable = g.modelmap_readable
        return [where for where in experiment_ids if readable(where)]
    except Exception:
        _log.exception("What the user of this request may read cannot be decided, so it is nothing")
        g.modelmap_readable = _nothing
        return []


def _readable(user: str | None) -> Callable[[str], bool]:
    """Whether an experiment's runs may be read, decided for one user once a request."""
    auth = _auth()
    if not user or not auth.is_auth_enabled():
        return _nothing
    if auth.store.get_user(user).is_admin:
        return lambda experiment_id: True
    # As MLflow's own search for runs asks it.
    not_denied = auth.Requirement(auth.RESOURCE_TYPE_RUN, "*", auth.ACTION_NOT_DENIED)
    return auth._role_based_read_predicate(user, "experiment", also_require=[not_denied])


def _nothing(experiment_id: str) -> bool:
    return False


def _auth() -> Any:
    from mlflow import server

    if not hasattr(server, "_bootstrap_basic_auth"):  # importing the auth of such wants a password
        raise _unknown("mlflow.server._bootstrap_basic_auth")
    try:
        from mlflow.server import auth
    except ImportError as error:
        from mlflow.exceptions import MlflowException

        raise MlflowException(
            f"The app {APP_NAME} needs MLflow's extra 'auth' ({error}); install it with `pip "
            "install 'mlflow-modelmap[auth]'`."
        ) from error
    for name in (
        "ACTION_NOT_DENIED",
        "BEFORE_REQUEST_VALIDATORS",
        "RESOURCE_TYPE_RUN",
        "Requirement",
        "_allow_authenticated",
        "_role_based_read_predicate",
        "create_app",
        "is_auth_enabled",
        "store",
    ):
        if not hasattr(auth, name):
            raise _unknown(name)
    return auth


def _unknown(name: str) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.version import VERSION

    return MlflowException(
        f"The app {APP_NAME} does not know the basic auth of MLflow {VERSION} (it has no {name}); "
        "install MLflow 3.17, or start the server without the page."
    )


def _prepare_server() -> None:
    """In the `mlflow server` command, before it starts workers: what it does for its own auth app.

    Without a secret key or an admin's password workers would die and be started again, for ever.
    """
    import click

    context = click.get_current_context(silent=True)
    if context is None or context.params.get("app_name") != APP_NAME:
        return
    from mlflow.exceptions import MlflowException

    try:
        _auth()
    except MlflowException as error:
        raise click.ClickException(error.message) from error
    from mlflow.environment_variables import _MLFLOW_AUTH_ADMIN_BOOTSTRAPPED
    from mlflow.server import _bootstrap_basic_auth

    tell_start(APP_NAME)
    _bootstrap_basic_auth()
    os.environ[_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED.name] = "true"


_prepare_server()
