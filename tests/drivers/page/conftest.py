"""A store with one of everything that the page shows, as a server process holds it."""

from __future__ import annotations

import pytest

from mlflow_modelmap.tracking.store.server_store import ServerStore
from tests.drivers.page.reading import reads
from tests.page_site import Site, make_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, _empty_store) -> Site:
    return make_site(tmp_path_factory.mktemp("site"), _empty_store)


@pytest.fixture
def page(site: Site) -> ServerStore:
    return reads(site.store)
