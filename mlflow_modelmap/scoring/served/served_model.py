"""Scoring (no torch here): which of a server's models is meant, and how many tokens it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import Served
from mlflow_modelmap.scoring.served.address import GENERATE, base_and_route
from mlflow_modelmap.scoring.served.client import Client, Refused
from mlflow_modelmap.words.listed import listed

_LIMITS = ("max_model_len", "context_length", "max_context_length")


def find_served(url: str, written: str, said: str | None) -> Served:
    """The model behind a server's address.

    Parameters
    ----------
    url
        As `address.checked_url` passes it.
    written
        The model as the user wrote it.
    said
        What the server calls it, if the user says so.

    Returns
    -------
    Served
        Under the name that was said, else as it was written if the server lists that, else under
        the only name that the server lists.

    Raises
    ------
    InputError
        If the server lists several models and not this one.
    ScoringError
        If it does not answer.
    """
    base, route = base_and_route(url)
    own_route = route == GENERATE and not base.endswith("/v1")
    route_of_models = "v1/models" if own_route else "models"
    client = Client(base)
    try:
        models = _listed(client.get(route_of_models))
    except Refused as refused:
        if refused.status not in (404, 405, 501):
            raise
        models = []  # it does not list them
    finally:
        client.close()
    names = [str(model["id"]) for model in models]
    name = said or _meant(written, names, url)
    if names and name not in names:
        raise InputError(
            f"The server at {url!r} serves no {name!r}, but {listed(names, 8)}; give one of these "
            "with --served-model (served_model=)."
        )
    return Served(base, route, name, _limit(next((m for m in models if m["id"] == name), {})))


def _listed(answer: Any) -> list[Mapping[str, Any]]:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(data, Sequence) or isinstance(data, str):
        return []
    return [m for m in data if isinstance(m, Mapping) and isinstance(m.get("id"), str)]


def _meant(written: str, names: Sequence[str], url: str) -> str:
    if written in names or not names:
        return written
    if len(names) == 1:
        return names[0]
    same_end = [name for name in names if _end(name) == _end(written)]
    if len(same_end) == 1:
        return same_end[0]
    raise InputError(
        f"The server at {url!r} serves {listed(names, 8)}, and none of them is called "
        f"{written!r}; say which with --served-model (served_model=)."
    )


def _end(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _limit(model: Mapping[str, Any]) -> int | None:
    for name in _LIMITS:
        value = model.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
