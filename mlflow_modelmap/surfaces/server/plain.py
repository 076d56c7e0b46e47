"""Surface: `mlflow server --app-name modelmap`."""

from __future__ import annotations

from typing import Any

from mlflow_modelmap.surfaces.server.starting import tell_start

APP_NAME = "modelmap"


def create_app() -> Any:
    """The MLflow server's own app with the page beside it: ASGI under uvicorn, else WSGI."""
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server import app
    from mlflow.server.handlers import _add_static_prefix

    from mlflow_modelmap.surfaces.server.routes import blueprint

    app.register_blueprint(blueprint(_add_static_prefix("")))
    if _MLFLOW_SGI_NAME.get() == "uvicorn":
        # It is made around the Flask app, which answers whatever it has no route for.
        from mlflow.server.fastapi_app import app as asgi

        return asgi
    return app


tell_start(APP_NAME)
