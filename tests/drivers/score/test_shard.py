"""Parts of a plan: together they are the plan, each about as heavy, whatever is done already."""

from __future__ import annotations

import os
from collections import Counter

import mlflow
import pytest
import yaml

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.plan_file import parse_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.drivers.score.shard import Shard, costs, size_of
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import forking

SIZES = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")


def asked():
    names = [f"EleutherAI/pythia-{size}" for size in SIZES]
    models = [{"model": m, "revision": "step{step}", "steps": [1, 2, 4, 8]} for m in names]
    return requests(parse_plan({"models": models}))


@pytest.mark.parametrize("of", [1, 3, 8])
def test_the_parts_are_the_plan_and_balanced_by_size(of):
    plan = asked()
    parts = [Shard(number, of).of_these(plan) for number in range(1, of + 1)]
    places = [plan.index(request) for part in parts for request in part]
    assert sorted(places) == list(range(len(plan)))
    assert all(part == sorted(part, key=plan.index) for part in parts)
    loads = [sum(map(size_of, part)) for part in parts]
    assert max(loads) - min(loads) <= max(map(size_of, plan))
    assert max(loads) <= 4 / 3 * sum(loads) / of  # Graham's bound for the largest first


def test_a_size_is_read_from_a_name_or_from_files(tiny_model):
    of = {r.reference.name.rpartition("-")[2]: size_of(r) for r in asked()}
    assert of["70m"] == 140_000_000
    assert of["6.9b"] == 13_800_000_000
    names = ["mistralai/Mixtral-8x7B-v0.1", "a/phi3-mini", str(tiny_model)]
    mixtral, unknown, here = requests(parse_plan({"models": names}))
    assert size_of(mixtral) == 112_000_000_000
    assert size_of(unknown) == 2_000_000_000
    assert size_of(here) == (tiny_model / "model.safetensors").stat().st_size
    assert costs([unknown, here]) == [size_of(here)] * 2  # of a family the rest is as large
    assert costs([mixtral, unknown, here]) == [size_of(mixtral), size_of(here), size_of(here)]
    assert costs([unknown]) == [size_of(unknown)]


@pytest.mark.parametrize("written", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/2", "２/８"])
def test_no_part_of_a_whole_is_refused(written):
    with pytest.raises(InputError, match="from 1/8 to 8/8"):
        Shard.parse(written)


def test_shards_meet_in_the_store_only_and_the_last_finds_all(store, tiny_models, texts):
    models = [str(tiny_models("gpt_neox", seed=seed)) for seed in range(3)]
    plan = {"models": models, "name": "family"}
    first = sweep(plan, texts=texts, shard="1/2", progress=False)
    again = sweep(plan, texts=texts, shard="1/2", progress=False)
    second = sweep(plan, texts=texts, shard="2/2", progress=False)
    assert [row.state for row in again.rows] == ["skipped"] * len(first.rows)
    assert len(first.rows) + len(second.rows) == 3
    assert {row.state for row in (*first.rows, *second.rows)} == {"scored"}
    assert len(select_runs(["test"])) == 3


def test_four_parts_at_once_are_four_processes_that_meet_in_the_store_alone(
    store, tiny_models, text_file, tmp_path, all_runs
):
    models = [str(tiny_models("gpt_neox", seed=seed)) for seed in range(4)]
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({"models": models}))
    parts = [
        forking.Process(
            "-m",
            "mlflow_modelmap",
            "sweep",
            str(plan),
            "--texts",
            str(text_file),
            "--shard",
            f"{part}/4",
            env={**os.environ, "MLFLOW_TRACKING_URI": store},
        )
        for part in (1, 2, 3, 4)
    ]
    assert [part.wait(120) for part in parts] == [0] * 4
    kinds = Counter(run.data.tags["modelmap.kind"] for run in all_runs())
    assert kinds == {"score": 4, "sweep": 4}
    assert {run.info.status for run in all_runs()} == {"FINISHED"}


def test_a_part_without_models_is_no_failure_of_a_project(store, tiny_model, texts, monkeypatch):
    project = mlflow.MlflowClient(store).create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", project)
    plan = {"models": [str(tiny_model)]}
    done = sweep(plan, texts=texts, shard="999999/999999", progress=False)
    assert (done.run_id, done.rows, done.not_logged) == (project, (), None)
    assert mlflow.get_run(project).data.metrics["modelmap/scored"] == 0
