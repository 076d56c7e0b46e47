"""The authors' file format becomes runs through a reader that runs nothing; tables follow."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, trajectory
from tests.numerics.generated import fbm_paths

EXAMPLES = Path(__file__).parents[2] / "examples"
N = 120
SIZES = ("410m", "410m-seed1", "1b")


@pytest.fixture
def examples(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import paper_tables
    import released_pickles

    return released_pickles, paper_tables


@pytest.fixture
def released(tmp_path, examples):
    """Files as the authors write them, of the last 26 checkpoints of two sizes and a seed."""
    reader, _ = examples
    rng = np.random.default_rng(0)
    texts = [f"text {k} " + "z" * (600 + 3 * k) for k in range(N)]
    steps = reader.STEPS[-26:]
    logp, weights = {}, {}
    for k, size in enumerate(SIZES):
        own = -900 + 30 * k * rng.standard_normal(N) + 50 * rng.standard_normal(N)
        path = own + 4 * fbm_paths(0.25, np.arange(1, 26), np.ones(N), rng)
        logp[size] = {s: row.astype(np.float32) for s, row in zip(steps, path, strict=True)}
        w = fbm_paths(1.0, np.arange(1, 26), np.ones(200), rng)
        table = np.zeros((154, 154))
        for i in range(26):
            for j in range(i + 1, min(i + 11, 26)):
                table[128 + i, 128 + j] = np.sum((w[i] - w[j]) ** 2)
        if "seed" not in size:
            weights[size] = table
    logp["1b"][steps[4]] = None
    for name, value in (("logp.pkl", logp), ("weights.pkl", weights)):
        (tmp_path / name).write_bytes(pickle.dumps(value))
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    return tmp_path


def test_released_files_become_runs_and_the_papers_tables(examples, released, store, capsys):
    reader, tables = examples
    reader.main(["log-likelihoods", f"{released}/logp.pkl", f"--texts={released}/texts.json"])
    out = capsys.readouterr().out
    assert out.startswith("77 score runs in 'pythia-released'.")
    reader.main(["weights", f"{released}/weights.pkl"])
    weights_run = capsys.readouterr().out.split()[1]
    study = trajectory(
        ["pythia-released"],
        filter="tags.seed = '1234'",
        weights_run=weights_run,
        start=120_000,
        figures=False,
    )
    assert len(study.points) == 51
    seeds = trajectory(
        ["pythia-released"],
        filter="tags.modelmap.trajectory LIKE 'pythia-410m%'",
        figures=False,
    )
    tables.main([study.run_id, "--seeds", seeds.run_id])
    printed = capsys.readouterr().out
    for title in ("Table 1:", "Table 2a:", "Table 2b:", "Table 3:", "Table 4:"):
        assert title in printed
    one = tables.table_1(study).set_index("size")
    assert one.at["410m", "t0"] == 120_000
    assert one.at["410m", "c_w"] == pytest.approx(1.0, abs=0.25)
    assert one.at["410m", "c_q"] == pytest.approx(0.25, abs=0.15)
    assert one.at["410m", "alpha (paper)"] == 0.14
    three = tables.table_3(study).iloc[0]
    assert three["KL"] == pytest.approx(
        study.kl.at["pythia-410m step 143000", "pythia-1b step 143000"]
    )
    assert three["KL (paper)"] == 0.28
    seeds_row = tables.table_2b(study, seeds).set_index("between").loc["seeds, average"]
    assert seeds_row["KL"] == pytest.approx(
        seeds.kl.at["pythia-410m step 143000", "pythia-410m-seed1 step 143000"]
    )
    client = mlflow.MlflowClient()
    where = client.get_experiment_by_name("pythia-released").experiment_id
    run = client.search_runs([where], "tags.`modelmap.step` = '143000' and tags.seed = '1'")[0]
    assert run.data.tags["modelmap.model"] == "EleutherAI/pythia-410m-seed1"


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    "value",
    [Evil(), {"410m": {0: Evil()}}, np.array([Evil()], dtype=object), sys.exit, io.BytesIO()],
    ids=["call", "nested", "in an array", "function", "object"],
)
def test_anything_but_arrays_is_refused_before_it_runs(examples, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match=r"The pickle asks for \w+\.\w+, which is no part of"):
        examples[0].read_pickle(tmp_path / "x.pkl")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_read(examples, tmp_path, protocol):
    value = {"410m": {0: np.arange(3, dtype=np.float32), 1: None}, "x": np.float64(2.5)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    read = examples[0].read_pickle(tmp_path / "x.pkl")
    np.testing.assert_array_equal(read["410m"][0], value["410m"][0])
    assert read["x"] == 2.5


def test_a_table_is_read(examples, tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(pd.DataFrame(frame.to_numpy())))
    read = examples[0].read_pickle(tmp_path / "x.pkl")
    np.testing.assert_array_equal(read.to_numpy(), frame.to_numpy())


def test_what_is_not_the_released_file_is_said(examples, tmp_path):
    reader, _ = examples
    with pytest.raises(InputError, match="cannot be read: No such file"):
        reader.read_pickle(tmp_path / "none.pkl")
    (tmp_path / "lfs.pkl").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="git lfs pull"):
        reader.read_pickle(tmp_path / "lfs.pkl")
    with pytest.raises(InputError, match="no dictionary of sizes and steps"):
        list(reader.checkpoints([1, 2], 3))
    with pytest.raises(InputError, match=r"Step 5 of 1b has log-likelihoods of shape \(2,\)"):
        list(reader.checkpoints({"1b": {5: np.zeros(2)}}, 3))
    with pytest.raises(InputError, match=r"The distances of 1b have the shape \(2, 2\)"):
        reader.weight_table({"1b": np.zeros((2, 2))})
