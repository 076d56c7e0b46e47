"""Surface: what `mlflow server` with the page says on the terminal while its workers start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tell_start(app_name: str) -> None:
    """In the `mlflow server` command with this app: where the page will be, and what takes time.

    Workers import the same files and say nothing.
    """
    import click

    context = click.get_current_context(silent=True)
    if context is not None and context.params.get("app_name") == app_name:
        click.echo(sentence(context.params), err=True)


def sentence(params: Mapping[str, Any]) -> str:
    """What is said, by the options of the command; MLflow has made its database by then."""
    host, port = str(params.get("host") or "127.0.0.1"), params.get("port") or 5000
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    prefix = "/" + (params.get("static_prefix") or "").strip("/")
    options = f"{params.get('uvicorn_opts') or ''} {params.get('gunicorn_opts') or ''}"
    secure = "https" if "--ssl-certfile" in options or "--certfile" in options else "http"
    workers = str(params.get("workers") or "")  # text, as MLflow takes it
    count = {"": "The workers", "1": "The worker"}.get(workers, f"The {workers} workers")
    return (
        f"{count} of the server start{'s' if workers == '1' else ''} now, which takes some "
        f"seconds; the model maps are then at {secure}://{shown}:{port}{prefix.rstrip('/')}/modelmap/"
    )
