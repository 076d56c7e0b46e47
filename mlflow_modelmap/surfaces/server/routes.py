"""Surface: the page's routes, a Flask blueprint of the MLflow server."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request
from mlflow.exceptions import MlflowException

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.gate import gate_payload
from mlflow_modelmap.drivers.page.lineage import lineage_payload
from mlflow_modelmap.drivers.page.lists import list_experiments, list_runs
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.members import members_payload
from mlflow_modelmap.drivers.page.monitor import monitor_payload
from mlflow_modelmap.drivers.page.opened import head, key, open_run
from mlflow_modelmap.drivers.page.pair import pair_payload
from mlflow_modelmap.drivers.page.scale import scale_payload
from mlflow_modelmap.drivers.page.score import score_payload
from mlflow_modelmap.drivers.page.several import from_point_payload, several_payload
from mlflow_modelmap.drivers.page.study import TABLES as STUDIES
from mlflow_modelmap.drivers.page.study import study_payload
from mlflow_modelmap.drivers.page.training import trajectory_payload
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.surfaces.server import assets
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.store.failures import Unanswered
from mlflow_modelmap.tracking.store.server_store import MayRead, ServerStore, everybody, own_store

ROOT = "/modelmap"
APIS = ("experiments", "experiment", "run", "members", "pair", "several", "from")
PAYLOADS = {
    schema.KIND_MAP: map_payload,
    schema.KIND_TRAJECTORY: trajectory_payload,
    schema.KIND_SCALE: scale_payload,
    schema.KIND_LINEAGE: lineage_payload,
    schema.KIND_GATE: gate_payload,
    **dict.fromkeys(STUDIES, study_payload),
    **dict.fromkeys((schema.KIND_SCORE, schema.KIND_VECTORS), score_payload),
}
"""What is told of a finished run, by its kind."""

_log = logging.getLogger(__name__)
# Plotly sets styles on what it draws; scripts come from files alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: "
    "blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FAILED = "The tracking store of this server failed; its log says more."
_UNTOLD = (
    "This cannot be shown, because something in it is of a form that the page does not know ({}); "
    "the server's log says more."
)
_PACK_FROM = 1_000
_DEEPEST = 50


def paths(prefix: str = "") -> list[str]:
    """Every address that the page answers, under the server's static prefix."""
    files = [f"static/{assets.version()}/{name}" for name in assets.assets()]
    return [
        f"{prefix}{ROOT}",
        *(f"{prefix}{ROOT}/{rest}" for rest in ("", *(f"api/{api}" for api in APIS), *files)),
    ]


def blueprint(prefix: str = "", may_read: MayRead = everybody) -> Blueprint:
    """The page under ``{prefix}/modelmap/``; it answers GET only and writes nothing.

    Parameters
    ----------
    prefix
        The server's static prefix.
    may_read
        Which experiments the one who asks may read; asked at every request.
    """
    found = Blueprint("modelmap", __name__)
    cache = PageCache()

    def store() -> ServerStore:
        return own_store(may_read)

    def run() -> Any:
        opened = open_run(store(), request.args.get("run_id", ""))
        above = head(store(), opened, cache)
        if above["kind"] == schema.KIND_MONITOR:  # never kept: it may be going on
            data = monitor_payload(store(), opened)
        else:
            data = PAYLOADS[above["kind"]](store(), opened, cache)
        told = {"head": above, "data": data}
        if above["kind"] != schema.KIND_MAP:
            return told
        # A map is the same for all who may read it, and large: it is written once.
        said = json.dumps(above, sort_keys=True)
        return cache.get((*key(opened.run, "answer"), said), lambda: _Answer(_made(told)))

    def members() -> Any:
        opened = open_run(store(), request.args.get("run_id", ""), [schema.KIND_MAP])
        return members_payload(store(), opened, cache)

    def pair() -> Any:
        opened = open_run(store(), request.args.get("run_id", ""), [schema.KIND_MAP])
        return pair_payload(store(), opened, cache, _row("a"), _row("b"))

    def several() -> Any:
        opened = open_run(store(), request.args.get("run_id", ""), [schema.KIND_MAP])
        rows = [_whole(value) for value in request.args.get("rows", "").split(",")]
        return several_payload(store(), opened, cache, rows)

    def from_point() -> Any:
        opened = open_run(store(), request.args.get("run_id", ""), [schema.KIND_MAP])
        return from_point_payload(store(), opened, cache, _row("row"))

    answers: dict[str, Callable[[], Any]] = {
        "experiments": lambda: list_experiments(store()),
        "experiment": lambda: list_runs(store(), request.args.get("experiment_id", "")),
        "run": run,
        "members": members,
        "pair": pair,
        "several": several,
        "from": from_point,
    }

    def page() -> Response:
        response = Response(assets.page(), mimetype="text/html")
        response.headers["Cache-Control"] = "no-cache"
        return response

    def static(of: str, name: str) -> Response:
        asset = assets.assets().get(name)
        if asset is None or of != assets.version():
            return Response("There is no such file; reload the page.", 404, mimetype="text/plain")
        response = _packed(asset.data, asset.packed, asset.type)
        response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return response

    def to_page() -> Response:
        # Relative, so that it holds behind a proxy that serves all of this below a path of its own.
        return Response(status=308, headers={"Location": ROOT.lstrip("/") + "/"})

    def not_found(rest: str) -> Response:
        # Relative, as all links of the page: up from as many folders as the address names.
        html = assets.not_found("../" * min(rest.count("/"), _DEEPEST))
        response = Response(html, 404, mimetype="text/html")
        response.headers["Cache-Control"] = "no-cache"
        return response

    def get(rule: str, name: str, view: Callable[..., Response]) -> None:
        found.add_url_rule(
            rule, name, view, methods=["GET"], provide_automatic_options=False, strict_slashes=True
        )

    get(f"{prefix}{ROOT}", "to_page", to_page)
    get(f"{prefix}{ROOT}/", "page", page)
    get(f"{prefix}{ROOT}/static/<of>/<name>", "static", static)
    for api in APIS:
        get(f"{prefix}{ROOT}/api/{api}", api, _answering(answers[api]))
    get(f"{prefix}{ROOT}/<path:rest>", "not_found", not_found)

    @found.before_request
    def get_only() -> Response | None:
        # Flask adds HEAD to every GET route.
        if request.method != "GET":
            return Response("Only GET is answered here.", 405, {"Allow": "GET"})
        return None

    @found.after_request
    def safe(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    return found


def _row(name: str) -> int:
    return _whole(request.args.get(name, ""))


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 8):
        raise InputError(f"{value[:40]!r} is no point; name one by its row on the map, from 0.")
    return int(value)


class _Answer(tuple[bytes, bytes | None]):
    """An answer as it goes out: as JSON, and compressed where that is worth it."""


def _made(told: Any) -> tuple[bytes, bytes | None]:
    data = _written(told)
    return data, gzip.compress(data, 4) if len(data) >= _PACK_FROM else None


def _answering(answer: Callable[[], Any]) -> Callable[[], Response]:
    """A view that gives an answer as JSON, and a user's error as one sentence."""

    def view() -> Response:
        status = 200
        try:
            told = answer()
            made = told if isinstance(told, _Answer) else _made(told)
        except InputError as error:
            made, status = _made({"error": str(error)}), 404
        except Unanswered as error:  # where the store lies is nothing for a reader
            _log.warning("%s", error)
            made, status = _made({"error": _FAILED}), 500
        except TrackingError as error:
            _log.warning("%s", error)
            made, status = _made({"error": str(error)}), 500
        except MlflowException as error:
            _log.exception("The tracking store failed")
            made = _made({"error": _FAILED})
            status = max(500, error.get_http_status_code())
        except Exception as error:  # of a run that nobody thought of: the page goes on
            _log.exception("A run or a list could not be told")
            made, status = _made({"error": _UNTOLD.format(type(error).__name__)}), 500
        response = _packed(*made, "application/json")
        response.status_code = status
        # What one user may see is never kept for the next.
        response.headers["Cache-Control"] = "no-store"
        return response

    return view


def _written(told: Any) -> bytes:
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _packed(data: bytes, packed: bytes | None, kind: str) -> Response:
    response = Response(data, content_type=kind)
    response.headers["Vary"] = "Accept-Encoding"
    if packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.set_data(packed)
        response.headers["Content-Encoding"] = "gzip"
    return response
