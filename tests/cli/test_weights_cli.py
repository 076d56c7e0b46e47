"""`modelmap weights` from the command line."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from mlflow_modelmap.surfaces.cli import main


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    for step in (0, 5, 10):
        (tmp_path / f"step{step}").mkdir()
        save_file({"w": torch.full((4,), float(step))}, tmp_path / f"step{step}/model.safetensors")
    return tmp_path


def call(*arguments):
    with pytest.raises(SystemExit) as done:
        main(["weights", *map(str, arguments)])
    return done.value.code


def test_a_template_with_a_range_of_steps_as_json(store, folders, capsys):
    code = call("--model", f"{folders}/step{{step}}", "--steps", "0:10:5", "--full", "--json")
    assert code == 0
    out = json.loads(capsys.readouterr().out)
    assert [row["squared_distance"] for row in out["weight_distances"]] == [100.0, 400.0, 100.0]


def test_notices_go_to_people_and_to_programs(store, folders, capsys):
    same = (f"--checkpoint=0={folders}/step5", f"--checkpoint=5={folders}/step5")
    assert call(*same, "--json") == 0
    told = capsys.readouterr()
    (notice,) = json.loads(told.out)["notices"]
    assert "hold the same weights" in notice
    assert notice in told.err


def test_directories_as_a_table_and_empty_values_as_not_given(store, folders, capsys):
    code = call(
        *(f"--checkpoint=5={folders}/step5", f"--checkpoint=0={folders}/step0"),
        *("--model", "", "--steps", "", "--plan", "", "--window", "", "--full-if", "false"),
        *("--trajectory", "mine", "--experiment", ""),
    )
    assert code == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["mine", "0", "5", "100"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "x"], "STEP=PATH"),
        (["--model", "a/b", "--steps", "1,x"], "'x' is no step"),
        (["--model", "a/b", "--steps", "0:5:0"], "every 0 steps"),
        ([], "Say once"),
    ],
)
def test_bad_input_is_one_line_and_code_1(store, arguments, message, capsys):
    assert call(*arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("Error: ")
    assert len(error.splitlines()) == 1
