"""The file of a plan: what it may hold, and what is refused by name."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.plan_file import parse_plan, read_plan


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({}, "'models' is missing"),
        ({"models": []}, "names no model; it needs at least a list"),
        ({"models": ["a/b"], "modles": []}, "unknown key 'modles'; the keys there are models"),
        ({"models": [{"modell": "a"}]}, "unknown key 'modell' in model 1"),
        ({"models": ["a/b"], "defaults": {"step": 1}}, "unknown key 'step' under defaults"),
        ({"models": ["a/b"], "defaults": {"steps": [1]}}, "steps stands with a model."),
        (
            {"models": ["a/b"], "overlong": "truncate"},
            "overlong of all models stands under defaults.",
        ),
        ({"models": [{"model": "a", "texts": "b"}]}, "texts stands at the top of the plan."),
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
        ("", "is empty; it needs at least a list of models, such as"),
        ("models: []\n", "names no model; it needs at least a list of models"),
        ("modles: [a/b]\n", "did you mean 'models'"),
        ("models: [!!python/object/apply:os.getcwd []]", "is no valid YAML"),
        ("? [a, b]\n: c\n", r"the key \['a', 'b'\] is a list, and keys are words"),
        ("? {a: b}\n: c\n", "is a dict, and keys are words"),
        ("models:\n- ? [a]\n  : c\n", r"the key \['a'\] is a list"),
        ("models: " + "[" * 5000, "is no valid YAML"),
        ("{models: " * 5000, "is no valid YAML"),
        ("models: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("models:\n- " + "- " * 5000 + "a", "nested too deeply"),
        ("models: &a [*a]", "at models number 1"),
        ("models: [2024-13-45]", "is no valid YAML"),
        ("models: [!!timestamp soon]", "is no valid YAML"),
        ("models: [!!bool maybe]", "is no valid YAML"),
        (f"models: [{'9' * 5000}]", "is no valid YAML|at models number 1"),
        ("1: a\nmodels: [a/b]", "unknown key|keys"),
        ("null: a\nmodels: [a/b]", "unknown key|keys"),
        (f"models: [{{model: [{'x, ' * 9000}]}}]", "at models number 1 model: it must be text"),
        ("\0", "is no valid YAML"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, text, said):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_plan(path)
    assert len(str(caught.value)) < 700


def test_an_anchor_that_multiplies_itself_is_refused_in_few_words(tmp_path):
    path = tmp_path / "plan.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    path.write_text("\n".join([*lines, "models: *a11"]))
    with pytest.raises(InputError, match="unknown key 'a0'") as caught:
        read_plan(path)
    assert len(str(caught.value)) < 700
    with pytest.raises(InputError, match="it must be text") as caught:
        parse_plan({"models": [{"model": _nested(10, 11)}]})
    assert len(str(caught.value)) < 700


def _nested(wide, deep):
    made = ["x"] * wide
    for _ in range(deep):
        made = [made] * wide
    return made


def test_a_plan_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no plan"):
        read_plan(tmp_path / "plan.yaml")
