"""Which models a plan stands for, and what contradicts itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.plan_file import ModelEntry, parse_plan, read_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.scoring.model.reference import tag_name
from mlflow_modelmap.scoring.settings import ScoringSettings


def expand(*models, **rest):
    return requests(parse_plan({"models": list(models), **rest}))


def test_a_string_is_a_model_with_nothing_else_to_say():
    (request,) = expand("org/name@v2")
    assert str(request.reference) == "org/name@v2"
    assert request.point_name == "name@v2"
    assert request.settings.precision == "auto"


def test_steps_fill_the_revision_and_ranges_include_their_end():
    made = expand(
        {
            "model": "org/pythia",
            "revision": "step{step}",
            "steps": [0, 1, 512, {"start": 1000, "stop": 3000, "every": 1000}, 2000],
        }
    )
    assert [r.step for r in made] == [0, 1, 512, 1000, 2000, 3000]
    assert [r.reference.revision for r in made][-1] == "step3000"
    assert {r.trajectory for r in made} == {"org/pythia"}
    assert made[0].point_name == "org/pythia step 0"


def test_steps_fill_local_directories_beside_the_plan(tmp_path):
    for step in (0, 4):
        (tmp_path / "seed 1" / f"step{step}").mkdir(parents=True)
    plan = parse_plan(
        {"models": [{"model": "seed 1/step{step}", "steps": [0, 4], "trajectory": "seed 1"}]}
    )
    made = requests(plan, tmp_path)
    assert [r.reference.name for r in made] == [
        str(tmp_path / "seed 1" / f"step{step}") for step in (0, 4)
    ]
    assert [r.point_name for r in made] == ["seed 1 step 0", "seed 1 step 4"]


def test_revisions_times_precisions():
    made = expand({"model": "a/b", "revisions": ["main", "v2"], "precisions": ["float32", "int8"]})
    assert [(r.reference.revision, r.settings.precision) for r in made] == [
        ("main", "float32"),
        ("main", "int8"),
        ("v2", "float32"),
        ("v2", "int8"),
    ]
    assert len({r.point_name for r in made}) == 4


def test_defaults_hold_unless_an_entry_says_otherwise():
    made = expand(
        "a/b",
        {"model": "c/d", "precision": "float32", "batch_tokens": 64, "base_model": "a/b"},
        defaults={"precisions": ["int8", "nf4"], "double_quantization": True, "bos": "never"},
    )
    assert [(r.settings.precision, r.settings.double_quantization) for r in made] == [
        ("int8", False),
        ("nf4", True),
        ("float32", False),
    ]
    assert {r.settings.bos for r in made} == {"never"}
    assert made[-1].settings.batch_tokens == 64
    assert made[-1].base_model == "a/b"


def test_quantised_copies_of_a_training_are_trajectories_of_their_own():
    made = expand(
        {
            "model": "a/b",
            "revision": "s{step}",
            "steps": [1],
            "trajectory": "t",
            "precisions": ["auto", "int8"],
        }
    )
    assert [r.trajectory for r in made] == ["t", "t int8"]


def test_names_are_templates():
    made = expand(
        {
            "model": "a/b",
            "revision": "s{step}",
            "steps": [1, 2],
            "precision": "int8",
            "name": "B-{step}-{precision}",
        }
    )
    assert [r.point_name for r in made] == ["B-1-int8", "B-2-int8"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"precision": "int4"}, "Model 1 of the plan: Unknown precision 'int4'"),
        ({"revision": "a", "revisions": ["b"]}, "has both revision and revisions"),
        ({"step": 1, "steps": [2]}, "has both step and steps"),
        ({"precision": "int8", "precisions": ["nf4"]}, "has both precision and precisions"),
        ({"steps": [1]}, r"has steps, but no \{step\}"),
        ({"revision": "s{step}"}, r"has \{step\} in its name but no steps"),
        ({"revisions": ["a", "a"]}, "twice, in models 1 and 1"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(entry, said):
    with pytest.raises(InputError, match=said):
        expand({"model": "a/b", **entry})


def test_a_model_asked_for_twice_is_refused():
    for same in ({}, {"batch_tokens": 64}, {"device_map": "auto"}):  # one and the same score
        with pytest.raises(InputError, match="'b' twice, in models 1 and 2"):
            expand("a/b", {"model": "a/b", **same})


def test_a_key_without_a_value_says_nothing():
    (made,) = expand({"model": "a/b", "bos": None}, defaults={"bos": "never", "trajectory": None})
    assert (made.settings.bos, made.trajectory) == ("never", None)


def test_a_plan_takes_every_setting_and_label():
    for fields in (ScoringSettings.model_fields, PointFields.model_fields):
        assert set(fields) <= set(ModelEntry.model_fields)


def test_the_plan_in_the_documentation_is_one(tmp_path):
    page = Path(__file__).parents[3] / "docs" / "sweep.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "plan.yaml").write_text(example, encoding="utf-8")
    for step in (0, 128, 256):
        (tmp_path / "checkpoints" / "seed 1" / f"step{step}").mkdir(parents=True)
    plan, _ = read_plan(tmp_path / "plan.yaml")
    made = requests(plan, tmp_path)
    assert len(made) == 1 + (5 + 143) + 4 + 3
    assert made[-1].point_name == "seed 1 step 256"


def test_a_base_model_that_is_a_directory_is_found_whatever_way_it_was_written(tmp_path):
    for name in ("base", "child"):
        (tmp_path / name).mkdir()
    plan = parse_plan({"models": ["base", {"model": "child", "base_model": "./base"}]})
    base, child = requests(plan, tmp_path)
    assert child.base_model is not None
    assert tag_name(child.base_model) == base.reference.name
    assert tag_name("org/name") == "org/name"
    assert tag_name(None) is None


def test_thresholds_of_int8_multiply_int8_alone():
    made = expand({"model": "org/name", "precisions": ["int8", "nf4"], "int8_thresholds": [0.0, 6]})
    assert [(r.settings.precision, r.settings.int8_threshold) for r in made] == [
        ("int8", 0.0),
        ("int8", 6.0),
        ("nf4", 0.0),
    ]
    assert [r.point_name for r in made] == ["name int8", "name int8 threshold 6", "name nf4"]
    named = expand(
        {
            "model": "org/name",
            "precision": "int8",
            "int8_thresholds": [0, 6],
            "name": "n {precision}",
        }
    )
    assert [r.name for r in named] == ["n int8", "n int8 threshold 6"]
    for models in ([{"model": "m", "int8_threshold": 6.0, "int8_thresholds": [0.0]}], ["m"]):
        with pytest.raises(InputError, match="both int8_threshold and int8_thresholds"):
            expand(*models, defaults={"int8_threshold": 6.0, "int8_thresholds": [0.0]})


def test_a_trajectory_holds_one_copy_a_step_whatever_the_threshold():
    made = expand(
        {
            "model": "org/m",
            "revision": "step{step}",
            "steps": [1, 2],
            "precision": "int8",
            "int8_thresholds": [0.0, 6.0],
        }
    )
    assert sorted({r.trajectory for r in made}) == ["org/m int8", "org/m int8 threshold 6"]


def test_noise_is_a_setting_that_makes_no_other_score():
    (request,) = expand("m", defaults={"noise": 5})
    assert request.settings.noise == 5
    with pytest.raises(InputError, match="asks for 'm' twice"):
        expand({"model": "m", "noise": 5}, {"model": "m", "noise": 0})
