"""The authors' files are imported, and the paper's tables printed from the runs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from mlflow_modelmap import import_vectors, import_weights, trajectory
from mlflow_modelmap.drivers.exchange.released import PYTHIA_STEPS
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.numerics.generated import fbm_paths

EXAMPLES = Path(__file__).parents[2] / "examples"
N = 120
SIZES = ("410m", "410m-seed1", "1b")


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import paper_tables

    return paper_tables


@pytest.fixture
def released(tmp_path):
    """Files as the authors write them, of the last 26 checkpoints of two sizes and a seed."""
    rng = np.random.default_rng(0)
    texts = [f"text {k} " + "z" * (600 + 3 * k) for k in range(N)]
    steps = PYTHIA_STEPS[-26:]
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


def test_released_files_become_runs_and_the_papers_tables(tables, released, store, capsys):
    made = import_vectors(
        released / "logp.pkl",
        texts=released / "texts.json",
        keys="step",
        model_format="EleutherAI/pythia-{}",
        revision_format="step{}",
        seed="1234",
        made_as="vectors",
        experiment="pythia-released",
    )
    assert made.points == 77
    weights = import_weights(
        released / "weights.pkl",
        steps="pythia",
        model_format="EleutherAI/pythia-{}",
        experiment="pythia-released",
    )
    study = trajectory(
        ["pythia-released"],
        filter="tags.seed = '1234'",
        weights_run=weights.run_id,
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
    point = next(p for p in select_runs(["pythia-released"], "tags.seed = '1'"))
    assert point.model == "EleutherAI/pythia-410m-seed1"
    assert point.revision == "step118000"
