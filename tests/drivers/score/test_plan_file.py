"""The file of a plan: what it may hold, and what is refused by name."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.plan_file import parse_plan, read_plan


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({}, "'models' is missing"),
        ({"models": []}, "at least 1 item"),
        ({"models": ["a/b"], "modles": []}, "unknown key 'modles'; the keys there are models"),
        ({"models": [{"modell": "a"}]}, "unknown key 'modell' in model 1"),
        ({"models": ["a/b"], "defaults": {"step": 1}}, "unknown key 'step' under defaults"),
        (
            {"models": [{"model": "a/b", "steps": [{"stop": 3, "by": 1}]}]},
            "unknown key 'by' in a range of steps of model 1",
        ),
        ({"models": [{"model": 3}]}, "has 3 at models number 1 model: it must be text"),
        ({"models": [{"model": "a/b", "revision": 123}]}, "has 123 .* write it in quotes"),
        ({"models": [5]}, "must be text, or a mapping with the key `model`"),
        (
            {"models": [{"model": "a/b", "precisions": ["auto", "int4"]}]},
            "Model 1 of the plan: Unknown precision 'int4'; choose one of auto",
        ),
        ({"models": ["a/b"], "defaults": {"bos": "no"}}, "The plan's defaults: Unknown bos 'no'"),
        ({"models": ["a/b"], 3: 4}, "unknown key"),
        ({"models": ["a/b", {"model": "a/b", "steps": [-1]}]}, "at models number 2 steps number 1"),
        ({"models": "a/b"}, "at models: input should be a valid list"),
        ({"models": [{"model": "a/b", "steps": ["1"]}]}, "has '1' at models number 1 steps"),
        (
            {"models": ["a/b"], "defaults": {"layers": 1}},
            "at defaults layers: it must be true or false",
        ),
    ],
)
def test_a_plan_that_cannot_be_right_is_refused_by_name(plan, said):
    with pytest.raises(InputError, match=said):
        parse_plan(plan)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [a/b]\nmodels: [c/d]\n", "key 'models' is given twice"),
        ("models: [a/b\n", "is no valid YAML"),
        ("- a/b\n", "is no mapping"),
        ("", "is no mapping"),
        ("models: [!!python/object/apply:os.getcwd []]", "is no valid YAML"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, text, said):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_plan(path)


def test_a_plan_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no plan"):
        read_plan(tmp_path / "plan.yaml")
