"""A lineage for the server page: a row a child and parent."""

from __future__ import annotations

import json

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.lineage import lineage_payload
from mlflow_modelmap.drivers.page.opened import open_run


def test_a_child_is_told_with_its_parent_and_kl(page, site):
    rows = lineage_payload(page, open_run(page, site.runs["lineage"]), PageCache())["rows"]
    (child,) = [row for row in rows if row["child"] == "child"]
    assert child["parent"] == "tiny seed 0 step 12000"
    assert child["kl"] > 0
    json.dumps(rows, allow_nan=False)
