"""Reading a site as the server does, and past it: the store, payloads, artifacts, `load_map`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient

from mlflow_modelmap import ModelMap, load_map
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.tracking.store.server_store import ServerStore, everybody
from tests.page_site import Site


def reads(store: str, may_read=everybody) -> ServerStore:
    """As a server process holds them."""
    return ServerStore(MlflowClient(store)._tracking_client.store, lambda uri: uri, may_read)


def payload(page: ServerStore, site: Site, name: str):
    """A map's."""
    return map_payload(page, open_run(page, site.runs[name]), PageCache())


def artifact(page: ServerStore, site: Site, run: str, name: str) -> Path:
    """Where an artifact of a run lies."""
    root = page.get_run(site.runs[run]).info.artifact_uri
    return Path(urlsplit(root).path) / "modelmap" / name


def load_map_in(site: Site, name: str) -> ModelMap:
    """A map as its user loads it."""
    mlflow.set_tracking_uri(site.store)
    return load_map(site.runs[name])
