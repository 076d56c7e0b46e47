"""What is said of parents: the order of trust, disagreement, and what cannot be."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.drivers.lineage.lineage import lineage
from tests.drivers.lineage.models import TEXTS, measure, rows
from tests.hub_server import HubServer
from tests.scored import write_score


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


def test_a_quantised_copy_of_a_checkpoint_need_not_say_its_step(models):
    values = models.vector("org/base")
    same = {"model": "org/base", "trajectory": "training"}
    for name, step in (("early", 100), ("late", 200)):
        write_score(models.store, name, values + step, models.size, **same, step=step)
    copy = {"model": "org/base", "precision": "nf4"}
    write_score(models.store, "early nf4", values, models.size, **copy, step=100)
    write_score(models.store, "of either", values + 1, models.size, **copy)
    write_score(models.store, "last", values + 3, models.size, model="org/other", step=100)
    copy_of_last = {"model": "org/other", "precision": "nf4"}
    write_score(models.store, "last nf4", values + 4, models.size, **copy_of_last)
    write_score(models.store, "other nf4", values + 2, models.size, **copy, step=300)
    table = rows(lineage(["test"], score=False, hub=False))
    assert table.at["early nf4", "parent"] == "early"
    assert pd.isna(table.at["of either", "parent"])
    assert table.at["last nf4", "parent"] == "last"
    assert pd.isna(table.at["other nf4", "parent"])


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


@pytest.mark.parametrize(
    "written", ["[" * 3000 + "]" * 3000, "[1", '["team-base", ', "[" + "9" * 5000]
)
def test_a_tag_that_is_no_list_of_parents_stops_nothing(family, written):
    family.client.set_model_version_tag("team-chat", "1", "base_model", written)
    assert {"team-base/1", "team-chat/1", "team-tool/1"} <= {*rows(measure()).index}
