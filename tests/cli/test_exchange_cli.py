"""`modelmap import` and `modelmap export` from the command line."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from mlflow_modelmap.surfaces.cli import main
from tests.scored import write_family


def said(capsys, *arguments: str) -> tuple[Any, str]:
    """What a command prints as JSON, and what on stderr."""
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--json"])
    told = capsys.readouterr()
    assert done.value.code == 0, told.err
    return json.loads(told.out), told.err


def test_export_then_import_then_once_more(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_family(store, (0, 1))
    out, _ = said(capsys, "export", "-o", "x.csv", "--experiment", "test")
    assert (out["file"], out["beside"], out["points"]) == ("x.csv", "x.texts.json", 4)
    again = ("import", "x.csv", "--experiment", "other")
    made, _ = said(capsys, *again)
    assert (made["as"], made["points"], made["texts"], made["found"]) == ("runs", 4, 40, 0)
    # An empty value is none, as an MLproject passes it.
    twice, told = said(capsys, *again, "--texts", "", "--keys", "", "--again-if", "false")
    assert twice["run_ids"] == made["run_ids"]
    assert "All of it was there already" in told
    with pytest.raises(SystemExit):
        main(["import", "x.csv", "--as", "vectors", "--experiment", "one", "--quiet"])
    assert len(capsys.readouterr().out.split()) == 1


def test_weights_become_a_run(store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"1b": np.triu(np.ones((3, 3)), 1)}))
    (tmp_path / "steps.txt").write_text("0\n10\n20\n")
    asked = ("import", "w.pkl", "--weights", "--steps", "steps.txt", "--model-format", "org/p-{}")
    out, _ = said(capsys, *asked)
    assert (out["distances"], out["trajectories"]) == (3, ["p-1b"])
