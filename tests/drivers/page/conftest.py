"""The store with one of everything that the page shows, as a server process holds it."""

from __future__ import annotations

import pytest

from mlflow_modelmap.tracking.store.server_store import ServerStore
from tests.drivers.page.reading import reads
from tests.page_site import Site


@pytest.fixture
def page(site: Site) -> ServerStore:
    return reads(site.store)
