"""`modelmap trajectory` from the command line."""

from __future__ import annotations

import json

import pytest

from mlflow_modelmap.drivers.trajectory.study import load_trajectory
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.texts.write import write_texts
from tests.drivers.trajectory.trainings import few


def call(*arguments):
    with pytest.raises(SystemExit) as done:
        main(["trajectory", *map(str, arguments)])
    return done.value.code


def test_the_command_takes_empty_values_and_answers_as_json(store, capsys, tmp_path):
    few(store, steps=range(0, 9000, 1000))
    empty = [f"--{name}=" for name in ("filter", "run-id", "weights-run", "texts", "leave-out")]
    empty += [f"--{name}=" for name in ("warm-up", "window", "start", "name", "other-filter")]
    code = call(
        "--experiment", "test", "--json", "--splits", 1, "--no-figures-if", "true", *empty,
        "--leave-out-anomalies-if", "false",
    )  # fmt: skip
    assert code == 0
    out = json.loads(capsys.readouterr().out)
    assert out["checkpoints"] == 9
    assert out["summary"][0]["c_w"] is None
    assert load_trajectory(out["run_id"]).name == "trajectory"


def test_the_command_prints_a_table(store, capsys, tmp_path):
    few(store, steps=range(0, 9000, 1000))
    own = TextSet("t", tuple(f"text {k}" for k in range(40)))
    write_texts(own, tmp_path / "texts.jsonl")
    assert call("--experiment", "test", "--splits", 1, "--no-figures") == 0
    out = capsys.readouterr().out
    assert "c_q (95 %)" in out
    assert "No anomalies." in out
    assert call("--experiment", "test", "--texts", tmp_path / "texts.jsonl") == 1
    assert "are not those that were scored" in capsys.readouterr().err
    assert call("--experiment", "test", "--perplexities", "x") == 1
    assert "'x' is no list of perplexities" in capsys.readouterr().err
