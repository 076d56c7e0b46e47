"""A model under several names in a lineage, and whom `hub=False` keeps from being asked."""

from __future__ import annotations

import pytest

from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.lineage.study import load_lineage
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model import hub_lineage
from tests.drivers.lineage.models import measure, rows
from tests.scored import write_score


def test_a_score_of_the_same_weights_by_another_name_is_no_rival(family):
    before = measure()
    for label in ("team-base/1", "team-chat/1", "team-tool/1"):
        write_score(family.store, f"dir {label}", family.vectors[label], family.size)
    found = measure(experiments=["test"])
    table = rows(found)
    assert set(table.index) == set(rows(before).index)
    assert table["also"].dropna().to_dict() == {
        label: f"dir {label}" for label in ("team-base/1", "team-chat/1", "team-tool/1")
    }
    for column in ("parent", "nearest", "verdict", "generation"):
        assert table[column].equals(rows(before)[column]), column
    assert found.agreement == before.agreement
    loaded = load_lineage(found.run_id)
    assert loaded.table["also"].tolist() == found.table["also"].tolist()


@pytest.mark.drawn
def test_copies_that_are_registered_stay_and_are_nobodys_rivals(family):
    """A mirror of the parent, one of the child, and a child that its parent did not change."""
    for name, of, tags in (
        ("team-mirror", "team-chat/1", {}),
        ("team-double", "team-tool/1", {}),
        ("team-same", "team-code/1", {"base_model": "team-code"}),
    ):
        label = family.version(name, score=False, tags=tags)
        family.vectors[label] = family.vectors[of]
        write_score(family.store, label, family.vectors[of], family.size, model=f"models:/{label}")
    found = measure()
    table = rows(found)
    tool = table.loc["team-tool/1"]
    assert (tool["parent"], tool["nearest"], tool["verdict"]) == (
        "team-chat/1", "team-chat/1", "nearest is the parent",
    )  # fmt: skip
    assert table.at["team-mirror/1", "nearest"] != "team-chat/1"
    same = table.loc["team-same/1"]
    assert (same["kl"], same["nearest"], same["verdict"]) == (
        0.0, "team-code/1", "nearest is the parent",
    )  # fmt: skip
    assert table["also"].isna().all()
    said = found.agreement
    assert (said.claimed, said.nearest, said.spanning, said.steps) == (4, 4, 4, 1.0)


def test_models_that_are_all_the_same_are_no_lineage(models):
    vector = models.vector("a")
    for name in ("a", "b"):
        write_score(models.store, name, vector, models.size)
    with pytest.raises(InputError, match="'a', 'b' are the same on every text"):
        lineage(["test"], hub=False)


def test_the_hub_is_asked_for_nothing(family, monkeypatch, texts):
    family.version("team-new", "team-base/1", tags={"base_model": "org/somewhere"})

    def asked(*_, **__):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(hub_lineage, "ask_hub", asked)
    for name in ("snapshot_download", "hf_hub_download", "HfApi"):
        monkeypatch.setattr(f"huggingface_hub.{name}", asked)
    monkeypatch.setattr("requests.Session.request", asked)
    monkeypatch.setattr("socket.getaddrinfo", asked)
    found = measure(score=True, hub=False)
    assert (
        "Of the parents that are named, 'org/somewhere' would be on the Hub, which was not asked; "
        "score them by name, or leave out --no-hub."
    ) in found.notices
    assert rows(found).at["team-new/1", "verdict"] == "not measured"
