"""Surface: the last lines of a command that made a study - where to look, and what to type."""

from __future__ import annotations

import shlex

ADDRESS = "http://127.0.0.1:5000"
"""Where `mlflow server` listens by itself."""


def look(run_id: str) -> list[str]:
    """Where the page shows a run; of a store without a server, the command that serves it last."""
    from mlflow_modelmap.tracking.store.client import client, tracking_uri
    from mlflow_modelmap.words.redact import redact

    uri = tracking_uri()
    if uri.startswith("http"):
        root = redact(uri).rstrip("/")
        where = client().get_run(run_id).info.experiment_id
        return [
            f"Look at {root}/modelmap/?run={run_id} (a server started with --app-name modelmap)",
            f"or at   {root}/#/experiments/{where}/runs/{run_id}",
        ]
    return [
        f"Look at {ADDRESS}/modelmap/?run={run_id} while this runs:",
        f"mlflow server --app-name modelmap --backend-store-uri {shlex.quote(redact(uri))}",
    ]
