"""Surface: `mlflow server --app-name modelmap-basic-auth`, behind MLflow's own users."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

APP_NAME = "modelmap-basic-auth"


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
    """Of these experiments, those whose runs the user of this request may read in MLflow."""
    from flask import g

    auth = _auth()
    # MLflow's filter lets everything pass where nobody is logged in.
    if not auth.is_auth_enabled() or not getattr(g, "mlflow_authenticated_user", None):
        return []
    # Each question to MLflow checks the password again, which is slow on purpose.
    known: dict[str, bool] = g.setdefault("modelmap_may_read", {})
    asked = [where for where in experiment_ids if where not in known]
    if asked:
        readable = set(auth.filter_experiment_ids(asked))
        known.update((where, where in readable) for where in asked)
    return [where for where in experiment_ids if known[where]]


def _auth() -> Any:
    from mlflow.exceptions import MlflowException

    try:
        from mlflow.server import auth
    except ImportError as error:
        raise MlflowException(
            f"The app {APP_NAME} needs MLflow's extra 'auth' ({error}); install it with `pip "
            "install 'mlflow-modelmap[auth]'`."
        ) from error
    for name in (
        "BEFORE_REQUEST_VALIDATORS",
        "_allow_authenticated",
        "create_app",
        "filter_experiment_ids",
        "is_auth_enabled",
    ):
        if not hasattr(auth, name):
            from mlflow.version import VERSION

            raise MlflowException(
                f"The app {APP_NAME} does not know the basic auth of MLflow {VERSION} (it has no "
                f"{name}); install MLflow 3.17, or start the server without the page."
            )
    return auth


def _prepare_server() -> None:
    """In the `mlflow server` command, before it starts workers: what it does for its own auth app.

    Without a secret key or an admin's password workers would die and be started again, for ever.
    """
    import click

    context = click.get_current_context(silent=True)
    if context is None or context.params.get("app_name") != APP_NAME:
        return
    from mlflow.environment_variables import _MLFLOW_AUTH_ADMIN_BOOTSTRAPPED
    from mlflow.server import _bootstrap_basic_auth

    _auth()
    _bootstrap_basic_auth()
    os.environ[_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED.name] = "true"


_prepare_server()
