"""Lineage of registered and scored models: claims, their order of trust, what cannot be."""

from __future__ import annotations

import contextlib
import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.lineage.study import load_lineage
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_between
from tests.hub_server import HubServer
from tests.scored import write_score

TEXTS = 400


class Models:
    """Made-up models: registered versions with a score, whose vectors descend from each other."""

    def __init__(self, store):
        self.store = store
        self.client = MlflowClient(store)
        self.random = np.random.default_rng(0)
        self.size = self.random.integers(60, 120, TEXTS)
        self.vectors = {}

    def vector(self, name, *parents, change=3.0):
        if parents:
            base = np.mean([self.vectors[p] for p in parents], axis=0)
        else:
            base = -0.8 * self.size + self.random.normal(0, 20.0, TEXTS)
        self.vectors[name] = base + self.random.normal(0, change, TEXTS)
        return self.vectors[name]

    def version(self, name, *parents, score=True, tags=None, change=3.0, **options):
        """Register version 1 (or the next) of a model; its label comes back."""
        with contextlib.suppress(mlflow.exceptions.MlflowException):
            self.client.create_registered_model(name)
        options.setdefault("source", f"/models/{name}")
        made = self.client.create_model_version(name, tags=tags, **options)
        label = f"{name}/{made.version}"
        vector = self.vector(label, *parents, change=change)
        if score:
            write_score(self.store, label, vector, self.size, model=f"models:/{label}")
        return label

    def kl(self, a, b):
        return kl_between(self.vectors[a], self.vectors[b], self.size.mean())


@pytest.fixture
def models(store):
    return Models(store)


@pytest.fixture
def family(models):
    """team-base <- team-chat <- team-tool, team-code; all by tags."""
    models.version("team-base")
    models.version("team-chat", "team-base/1", tags={"base_model": "team-base"})
    models.version("team-tool", "team-chat/1", tags={"base_model": "models:/team-chat/1"})
    models.version("team-code", "team-base/1", tags={"modelmap.base_model": "team-base/1"})
    return models


def measure(**options):
    return lineage(
        registered_models="name LIKE 'team-%'", **{"score": False, "hub": False, **options}
    )


def rows(found):
    return found.table.set_index("child")


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


def test_tags_that_disagree_are_said_and_the_version_counts(family):
    family.client.set_registered_model_tag("team-chat", "base_model", "team-code")
    found = measure()
    assert rows(found).at["team-chat/1", "parent"] == "team-base/1"
    assert rows(found).at["team-chat/1", "source"] == "model version tag"
    (notice,) = found.notices
    assert notice.startswith("Parents of 'team-chat/1' disagree: 'team-base/1' (model version tag)")
    assert "'team-code/1' (registered model tag)" in notice


def test_two_spellings_of_one_parent_do_not_disagree(family):
    family.client.set_registered_model_alias("team-base", "prod", "1")
    family.client.set_registered_model_tag("team-chat", "base_model", "models:/team-base@prod")
    assert measure().notices == ()


def test_cycles_self_parents_and_missing_parents_are_said(family):
    family.version("team-x", tags={"base_model": "team-y"})
    family.version("team-y", "team-x/1", tags={"base_model": "team-x"})
    family.version("team-self", tags={"base_model": "team-self"})
    family.version("team-orphan", tags={"base_model": "/no/such/model"})
    found = measure()
    text = "\n".join(found.notices)
    assert "cycle, 'team-x/1' -> 'team-y/1' -> 'team-x/1'" in text.replace(
        "'team-y/1' -> 'team-x/1' -> 'team-y/1'", "'team-x/1' -> 'team-y/1' -> 'team-x/1'"
    )
    assert "'team-self/1' is named as its own parent" in text
    assert "parent '/no/such/model' of 'team-orphan/1' cannot be found" in text
    table = rows(found)
    assert pd.isna(table.at["team-x/1", "generation"])
    assert table.at["team-orphan/1", "generation"] == 1
    assert table.at["team-orphan/1", "verdict"] == "not measured"
    assert np.isfinite(table.at["team-y/1", "kl"])
    assert table.at["team-tool/1", "generation"] == 2


def test_links_of_mlflow_come_after_tags(family, models):
    client = family.client
    base = client.create_logged_model(client.get_experiment_by_name("test").experiment_id)
    version = family.version("team-linked-base", source=f"models:/{base.model_id}")
    run = client.create_run(base.experiment_id)
    client.log_inputs(run.info.run_id, models=[mlflow.entities.LoggedModelInput(base.model_id)])
    family.version("team-linked", version, run_id=run.info.run_id)
    client.set_model_version_tag(*version.split("/"), "base_model", "team-base")
    copy = client.copy_model_version(f"models:/{version}", "team-production")
    label = f"team-production/{copy.version}"
    family.vectors[label] = family.vectors[version]
    write_score(family.store, label, family.vectors[version], family.size, model=f"models:/{label}")
    table = rows(measure())
    assert table.at["team-linked/1", "parent"] == version
    assert table.at["team-linked/1", "source"] == "MLflow link"
    assert table.at[label, "parent"] == version
    assert table.at[label, "relation"] == "copy"
    assert table.at[label, "kl"] == 0.0


def test_quantised_runs_descend_from_their_model(family):
    values = family.vectors["team-base/1"] + family.random.normal(0, 0.5, TEXTS)
    write_score(
        family.store, "base int8", values, family.size, model="models:/team-base/1",
        precision="int8",
    )  # fmt: skip
    found = measure(experiments=["test"])
    row = rows(found).loc["base int8"]
    assert (row["parent"], row["relation"]) == ("team-base/1", "quantized")


def test_what_is_not_scored_is_named_and_the_rest_goes_on(family):
    family.version("team-new", score=False, tags={"base_model": "team-base"})
    found = measure()
    assert "1 models are not scored: 'team-new/1'." in found.notices
    assert rows(found).at["team-new/1", "verdict"] == "not measured"
    with pytest.raises(InputError, match=r"1 models are not scored yet \('team-new/1'\); say on"):
        measure(score=True)


def test_a_version_without_source_and_a_broken_one_stop_nothing(family, texts, tmp_path):
    family.version("team-bare", score=False, source="", tags={"base_model": "team-base"})
    (tmp_path / "empty").mkdir()
    family.version("team-empty", score=False, source=(tmp_path / "empty").as_uri())
    for label in ("team-base/1", "team-chat/1"):
        write_score(
            family.store, label, family.random.normal(-80, 5, len(texts)), np.full(len(texts), 40),
            model=f"models:/{label}", digest=texts.digest,
        )  # fmt: skip
    for label in ("team-code", "team-tool"):
        family.client.delete_registered_model(label)
    found = measure(score=True, texts=texts, progress=False)
    text = "\n".join(found.notices)
    assert "'team-bare/1' has no source" in text
    assert "'team-empty/1' could not be scored: " in text
    assert "were scored on other texts" in text
    assert np.isfinite(rows(found).at["team-chat/1", "kl"])


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


def test_the_hub_is_asked_last_and_its_errors_stop_nothing(models, monkeypatch, tmp_path):
    kids = {"org/base": (), "org/child": ("org/base",), "org/other": ("org/base",)}
    for name, parents in kids.items():
        write_score(models.store, name, models.vector(name, *parents), models.size, model=name)
    write_score(
        models.store, "tagged", models.vector("tagged", "org/child"), models.size,
        model="org/tagged", base_model="org/child",
    )  # fmt: skip
    write_score(models.store, "gone", models.vector("gone"), models.size, model="org/gone")
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path)
        hub.add("org/base", {})
        hub.add("org/child", {}, base_models=["org/base"])
        hub.add("org/other", {}, cardData={"base_model": ["org/unknown"]})
        hub.add("org/tagged", {}, base_models=["org/base"])
        found = lineage(["test"], score=False)
    table = rows(found)
    assert (table.at["org/child", "parent"], table.at["org/child", "source"]) == (
        "org/base",
        "Hub metadata",
    )
    assert (table.at["tagged", "parent"], table.at["tagged", "source"]) == ("org/child", "run tag")
    assert table.at["org/other", "verdict"] == "not measured"
    text = "\n".join(found.notices)
    assert "There is no model 'org/gone'" in text
    assert "The parent 'org/unknown' of 'org/other' was not measured." in text
    assert "Parents of 'tagged' disagree" in text
