"""What a model is near on a map: its family, its parent, or none of these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlflow_modelmap import InputError, build_map, identify
from tests.scored import write_score

TEXTS = 80


@pytest.fixture
def families(store):
    """Two families of six models, and what makes further members of the first."""
    random = np.random.default_rng(0)
    size = random.integers(60, 120, TEXTS)
    bases = -0.8 * size - 20.0 + random.normal(0.0, 6.0, (2, TEXTS))
    for k in range(12):
        own = bases[k % 2] + random.normal(0.0, 1.0, TEXTS)
        write_score(store, f"m{k}", own, size, model_type=f"family-{k % 2}")
        if k == 4:
            parent = own

    def more(spread: float, of: np.ndarray = parent) -> str:
        drift = random.normal(0.0, spread, TEXTS)
        return write_score(store, f"new {spread}", of + drift, size, experiment="new")

    return more


def test_a_child_is_found_beside_its_parent(store, families):
    made = build_map(["test"])
    found = identify(families(0.2), made.run_id)
    assert found.likely_parent == "m4"
    assert not found.none_of_these
    assert found.families == {"family-0": 6, "family-1": 4}
    nearest = found.nearest
    assert list(nearest["point"][:1]) == ["m4"]
    assert nearest["kl"].is_monotonic_increasing
    np.testing.assert_allclose(nearest["gap"], nearest["kl"] - nearest["kl"][0], atol=1e-12)
    assert nearest["as_near"][0]
    assert not nearest["as_near"].iloc[-1], "of the other family"
    assert "the parent for 9 to 12 of 20 models, so it was another for 40% to 55%" in found.trust
    assert found.as_json()["parent_error_rate"] == pytest.approx([0.4, 0.55])
    many = replace(found, units=400)
    assert "the parent for 10 to 14 of 20 models, so it was another for 30% to 50%" in many.trust


def test_a_stranger_is_near_none_of_these(store, families):
    found = identify(families(40.0), build_map(["test"]).run_id)
    assert (found.none_of_these, found.likely_parent, found.farther_than) == (True, None, 1.0)


def test_a_model_of_the_map_is_not_near_itself(store, families):
    made = build_map(["test"])
    member = made.points.set_index("point").at["m4", "run_id"]
    found = identify(member, made.run_id)
    assert "m4" not in set(found.nearest["point"])
    assert found.notices[-1].startswith("The model is on the map itself")


def test_other_texts_are_refused(store, families):
    where = {"digest": "9" * 64, "experiment": "other"}
    other = write_score(store, "o", -np.ones(TEXTS), np.full(TEXTS, 9), **where)
    with pytest.raises(InputError, match="scored on the text set 999999999999, and the map"):
        identify(other, build_map(["test"]).run_id)
