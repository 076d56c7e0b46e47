"""The exact value where else it is asked for: gates, lineages, the page."""

from __future__ import annotations

import json

import mlflow
import pytest

from mlflow_modelmap import InputError, build_map, compare, gate
from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.pair import pair_payload
from tests.drivers.page.reading import reads


def test_a_gate_decides_by_the_exact_kl_of_the_reference_to_the_candidate(
    both_scored, models, written
):
    right = compare("original", "pushed", exact=True).exact
    for limit, verdict in ((right.forward * 2, "pass"), (right.forward / 2, "fail")):
        decided = gate(models / "pushed", models / "original", written, max_exact_kl=limit)
        assert decided.verdict == verdict
        (told,) = decided.limits
        assert told.quantity == "exact_kl"
        assert told.value == pytest.approx(right.forward, rel=1e-6)
        assert decided.exact["reverse"] == pytest.approx(right.reverse, rel=1e-6)
        assert "KL(reference || candidate)" in decided.paragraph
    client = mlflow.MlflowClient()
    path = client.download_artifacts(decided.run_id, "modelmap/decision.json")
    with open(path, encoding="utf-8") as file:
        written_down = json.load(file)
    assert written_down["exact"]["forward"] == decided.exact["forward"]
    assert client.get_run(decided.exact["run_id"]).data.tags["modelmap.kind"] == "exact"


def test_a_gate_whose_limit_is_not_possible_is_refused_first(store, models, written):
    with pytest.raises(InputError, match="largest exact KL divergence of -1"):
        gate(models / "pushed", models / "original", written, max_exact_kl=-1)


def test_a_lineage_has_it_on_its_edges(both_scored):
    found = lineage(hub=False, exact=True, progress=False)
    edge = found.table.set_index("child").loc["pushed"]
    right = compare("original", "pushed", exact=True).exact
    assert edge["exact_forward"] == pytest.approx(right.forward, rel=1e-6)
    assert edge["exact_top1"] == pytest.approx(right.top1)


def test_the_page_shows_it_for_a_pair_in_either_order(both_scored, store):
    made = build_map(["test"])
    page, cache = reads(store), PageCache()
    opened = open_run(page, made.run_id)
    rows = {name: row for row, name in enumerate(made.points["point"])}
    a, b = rows["original"], rows["pushed"]
    assert pair_payload(page, opened, cache, a, b)["exact"] is None
    right = compare("original", "pushed", exact=True)
    told = pair_payload(page, opened, cache, a, b)["exact"]
    assert told["forward"] == pytest.approx(right.exact.forward)
    assert told["run_id"] == right.exact_study.run_id
    turned = pair_payload(page, opened, cache, b, a)["exact"]
    assert turned["reverse"] == told["forward"]
    assert turned["forward_se"] == told["reverse_se"]
