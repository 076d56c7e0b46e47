"""`modelmap sweep`: the table, the exit code, the dry run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mlflow
import pytest

from tests import tiny
from tests.cli.test_score_cli import call, text_file  # noqa: F401 - a fixture
from tests.scoring.tokenizer import foreign_class

PROJECTS = Path(__file__).parents[2] / "projects"


@pytest.fixture
def plan(tiny_models, text_file):  # noqa: F811
    path = text_file.parent / "plan.yaml"
    path.write_text(
        f"texts: {text_file.name}\n"
        "models:\n"
        f"  - {{model: {tiny_models()}, name: first}}\n"
        "  - {model: gone, name: second}\n"
        f"  - {{model: {tiny_models(seed=1)}, name: third, step: 7, trajectory: t}}\n"
    )
    (path.parent / "gone").mkdir()
    return path


def test_a_failed_model_is_told_at_the_end_with_exit_code_1(store, plan, capfd):
    code, out, err = call(capfd, "sweep", plan)
    assert code == 1
    lines = out.splitlines()
    assert lines[0].split() == ["point", "state", "bits/byte", "seconds", "run"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["first", "scored"],
        ["second", "failed"],
        ["third", "scored"],
    ]
    assert lines[4] == "2 scored, 0 scored before, 1 failed."
    where, said = err.splitlines()
    assert re.match(r"Note: `modelmap sweep --status \w{32}` says from elsewhere", where)
    assert said.startswith("Error: second: ")


def test_without_failures_the_exit_code_is_0_and_json_says_all(store, plan, capfd):
    plan.write_text(plan.read_text().replace("  - {model: gone, name: second}\n", ""))
    code, out, err = call(capfd, "sweep", plan, "--json", "--quiet")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert [row["state"] for row in answer["rows"]] == ["scored", "scored"]
    assert answer["rows"][1]["step"] == 7
    code, out, err = call(capfd, "sweep", plan, "--quiet")
    assert out.split() == [row["run_id"] for row in answer["rows"]]
    code, out, err = call(capfd, "sweep", plan, "--experiment", "other")
    assert "2 scored, 0 scored before" in out
    assert mlflow.get_experiment_by_name("other")


def test_a_dry_run_lists_what_would_be_scored(store, plan, capfd):
    code, out, _ = call(capfd, "sweep", plan, "--dry-run")
    assert code == 0
    assert out.splitlines()[-1] == "3 models would be scored."
    assert "third" in out
    assert mlflow.search_runs(output_format="list") == []


@pytest.mark.parametrize("project", ["pretraining", "quantization", "fine_tuning", "layers"])
def test_what_a_study_of_the_paper_would_score_is_told_without_texts(project, capfd):
    """As `mlflow run projects/... -e plan` asks."""
    code, out, err = call(capfd, "sweep", PROJECTS / project / "plan.yaml", "--dry-run")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"\d+ models would be scored\.", out.splitlines()[-1])


def test_an_unknown_key_is_refused_by_name(store, plan, capfd):
    plan.write_text(plan.read_text() + "modells: []\n")
    code, out, err = call(capfd, "sweep", plan)
    assert (code, out) == (1, "")
    assert "unknown key 'modells'; the keys there are models, texts" in err


@pytest.mark.skipif(tiny.TRANSFORMERS < 5, reason="its classes read a tokenizer.json as it is")
def test_what_there_is_to_know_of_several_models_is_told_once(store, tmp_path, capfd):
    for name in ("one", "two"):
        tiny.make_model(tmp_path / name, "qwen2")
        foreign_class.write(tmp_path / name, "Qwen2Tokenizer")
    (tmp_path / "texts.json").write_text(json.dumps(foreign_class.TEXTS))
    path = tmp_path / "plan.yaml"
    path.write_text("texts: texts.json\nmodels: [one, two]\n")
    code, _, err = call(capfd, "sweep", path)
    assert code == 0
    (line,) = (line for line in err.splitlines() if "otherwise than the model's" in line)
    assert line.startswith("Note: 'one', 'two': Qwen2Tokenizer")
