"""Scoring (no torch here): the address of a server, without secrets, and its routes."""

from __future__ import annotations

from urllib.parse import urlsplit

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.words.redact import redact

COMPLETIONS, GENERATE = "completions", "generate"
KEY_VARIABLE = "MLFLOW_MODELMAP_ENDPOINT_KEY"
"""Environment variable with the server's key."""


def checked_url(written: str) -> str:
    """The address as it was written, which is logged: nothing secret may be in it.

    Raises
    ------
    InputError
        If it is no http address, or holds a password or a query.
    """
    shown = repr(redact(written))
    try:
        parts = urlsplit(written)
        there = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        there = False
    if not there:
        raise InputError(
            f"The url {shown} is no address of a server; write http://localhost:8000/v1."
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError(
            f"The url {shown} holds more than an address, and it is logged; put the server's key "
            f"into the environment variable {KEY_VARIABLE} and leave all else out."
        )
    return written


def base_and_route(url: str) -> tuple[str, str]:
    """What routes are put behind, and which one scores.

    ``http://host:8000``, ``.../v1``, ``.../v1/completions`` and ``.../v1/chat/completions`` are one
    server; an address that ends in ``/generate`` asks for SGLang's own route.
    """
    base = url.rstrip("/")
    if base.endswith("/generate"):
        return base.removesuffix("/generate"), GENERATE
    base = base.removesuffix("/completions").removesuffix("/chat")
    return (base if urlsplit(base).path.strip("/") else f"{base}/v1"), COMPLETIONS
