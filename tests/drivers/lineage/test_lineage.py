"""Lineage of registered and scored models, from claims to verdicts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.lineage.study import load_lineage
from mlflow_modelmap.errors import InputError
from tests.drivers.lineage.models import measure, rows


@pytest.mark.drawn
def test_a_family_is_measured_drawn_and_written_back(family):
    found = measure()
    assert found.notices == ()
    table = rows(found)
    assert table["generation"].to_dict() == {
        "team-base/1": 0,
        "team-chat/1": 1,
        "team-code/1": 1,
        "team-tool/1": 2,
    }
    for child, parent in (("team-chat/1", "team-base/1"), ("team-tool/1", "team-chat/1")):
        kl, se = family.kl(child, parent)
        assert table.at[child, "parent"] == parent
        assert table.at[child, "kl"] == pytest.approx(kl)
        assert table.at[child, "se"] == pytest.approx(se)
        assert table.at[child, "verdict"] == "nearest is the parent"
        tags = family.client.get_model_version(*child.split("/")).tags
        assert float(tags["modelmap.kl_to_parent"]) == pytest.approx(kl, rel=1e-5)
        assert float(tags["modelmap.kl_to_parent_se"]) == pytest.approx(se, rel=1e-2)
        assert tags["modelmap.parent"] == parent
        assert tags["modelmap.lineage_run"] == found.run_id
    assert table.at["team-tool/1", "kl_to_root"] == pytest.approx(
        family.kl("team-tool/1", "team-base/1")[0]
    )
    said = found.agreement
    assert (said.claimed, said.nearest, said.spanning, said.steps) == (3, 3, 3, 1.0)
    assert said.families == said.joined == 1
    run = family.client.get_run(found.run_id)
    assert run.data.tags["modelmap.kind"] == "lineage"
    assert run.data.metrics["modelmap/claims_nearest"] == 3
    names = {file.path for file in family.client.list_artifacts(found.run_id, "modelmap")}
    assert {
        f"modelmap/{name}"
        for name in (
            *("lineage.parquet", "lineage.csv", "kl.parquet", "kl_standard_error.parquet"),
            *("coordinates.npy", "points.parquet", "lineage_map.png", "lineage_tree.png"),
            *("measured_tree.png", "neighbour_joining.nwk"),
        )
    } <= names
    loaded = load_lineage(found.run_id)
    pd.testing.assert_frame_equal(loaded.table, found.table)
    assert loaded.agreement == found.agreement


def test_a_wrong_claim_is_found(family):
    family.version("team-liar", "team-chat/1", change=1.0, tags={"base_model": "team-code"})
    found = measure()
    row = rows(found).loc["team-liar/1"]
    assert (row["parent"], row["nearest"]) == ("team-code/1", "team-chat/1")
    assert row["verdict"] == "another is nearer"
    assert row["nearest_kl"] == pytest.approx(family.kl("team-liar/1", "team-chat/1")[0])
    parent, near = (family.kl("team-liar/1", of)[0] for of in ("team-code/1", "team-chat/1"))
    assert row["gap"] == pytest.approx(parent - near)
    assert row["candidates"] == 4
    # Both KL come from the same texts.
    own, other = (family.vectors["team-liar/1"] - family.vectors[of] for of in
                  ("team-code/1", "team-chat/1"))  # fmt: skip
    unit = 2 * family.size.mean() * np.log(2)
    part = (own - own.mean()) ** 2 / unit - (other - other.mean()) ** 2 / unit
    # B is of the same texts: each is expected to add its share of the bytes.
    expected = part.sum() * family.size / family.size.sum()
    error = np.sqrt(((part - expected) ** 2).sum()) / len(part)
    assert row["gap_se"] == pytest.approx(error)
    code = rows(found).loc["team-code/1"]  # the liar claims to be made from it: no candidate
    assert (code["gap"], code["gap_se"], code["candidates"]) == (0, 0, 3)
    assert pd.isna(rows(found).at["team-base/1", "gap"])
    # A secret sibling is now nearer to the chat model than its own parent, too.
    assert rows(found).at["team-chat/1", "verdict"] == "another is nearer"
    assert (found.agreement.claimed, found.agreement.nearest) == (4, 2)
    assert found.agreement.steps > 1


def test_merges_are_shown_and_left_out_of_statistics(family):
    family.version(
        "team-merge",
        *("team-chat/1", "team-code/1"),
        tags={"base_model": json.dumps(["team-chat", "team-code"])},
    )
    found = measure()
    merge = found.table[found.table["child"] == "team-merge/1"]
    assert merge["parent"].tolist() == ["team-chat/1", "team-code/1"]
    assert merge["relation"].tolist() == ["merge", "merge"]
    assert merge["kl"].notna().all()
    metrics = family.client.get_run(found.run_id).data.metrics
    assert metrics["modelmap/parent_child_pairs"] == 3
    assert found.agreement.claimed == 3


def test_a_registry_without_versions_is_refused(models):
    with pytest.raises(InputError, match=r"No registered model .* matches"):
        measure()
    models.client.create_registered_model("team-empty")
    with pytest.raises(InputError, match="None of the 1 registered models"):
        measure()
    with pytest.raises(InputError, match="No finished run of kind 'score'"):
        lineage()
    models.version("team-one")
    with pytest.raises(InputError, match="1 of 1 models could be measured"):
        measure()
    with pytest.raises(InputError, match="cannot search registered models"):
        lineage(registered_models="name ~ 3", score=False, hub=False)


def test_runs_that_were_asked_for_and_are_not_there_are_said(family):
    with pytest.raises(InputError, match=r"No score runs take part .*no experiment 'nowhere'"):
        measure(experiments=["nowhere"])
