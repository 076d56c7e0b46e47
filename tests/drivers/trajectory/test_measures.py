"""KL and exponents of trainings whose answers are known."""

from __future__ import annotations

import math

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from tests.drivers.trajectory.trainings import STEPS, N, few, texts, vectors


def test_kl_is_that_of_the_kept_texts(studied):
    study, *_ = studied
    kept = np.sort(study.texts.loc[~study.texts["dropped"], "text"])
    assert len(kept) == N - 9
    values = vectors()["tiny-seed1"][:, kept]
    unit = 2 * texts().bytes[kept].mean() * np.log(2)
    own = study.kl_previous[study.kl_previous["trajectory"] == "tiny-seed1"]
    assert own["step"].tolist() == STEPS[1:]
    np.testing.assert_allclose(own["kl"], np.var(np.diff(values, axis=0), axis=1) / unit)
    between = study.kl_between.set_index(["step", "trajectory", "other"])["kl"]
    expected = np.var(values[-1] - vectors()["big"][-1, kept]) / unit
    assert between[24_000, "big", "tiny-seed1"] == pytest.approx(expected)
    name = "big step 24000"
    assert study.kl.at[name, "tiny-seed1 step 24000"] == pytest.approx(expected)
    assert np.sum((study.coordinates[0] - study.coordinates[5]) ** 2) == pytest.approx(
        study.kl.iloc[0, 5]
    )


def test_exponents_are_recovered_with_their_intervals(studied):
    study, *_ = studied
    rows = study.summary.set_index("trajectory")
    assert (rows["t0"] == 14_000).all()
    for name in ("tiny-seed1", "tiny-seed2", "tiny-seed3"):
        assert rows.at[name, "c_q_low"] <= 0.5 <= rows.at[name, "c_q_high"]
        assert rows.at[name, "dimension_q"] == pytest.approx(2 / rows.at[name, "c_q"])
        assert rows.at[name, "dimension_q_low"] == pytest.approx(2 / rows.at[name, "c_q_high"])
        assert rows.at[name, "dimension_q_high"] == pytest.approx(2 / rows.at[name, "c_q_low"])
        assert abs(rows.at[name, "c_q_with_offset"] - 0.5) < 0.5
        assert abs(rows.at[name, "difference"]) < 0.02
        assert np.isnan(rows.at[name, "c_w"])
    late = study.diffusion[
        (study.diffusion["t0"] < 5000) & (study.diffusion["trajectory"] == "big")
    ]
    q, w = (late[late["space"] == space].set_index("t0") for space in ("q", "w"))
    assert ((w["low"] <= 1.0) & (w["high"] >= 1.0)).all()
    alpha = study.hoelder[study.hoelder["trajectory"] == "big"].set_index("t0")
    first = q.index[0]
    assert alpha.at[first, "alpha"] == pytest.approx(
        q.at[first, "exponent"] / w.at[first, "exponent"]
    )
    assert set(study.diffusion["space"]) == {"q", "w", "exp_q"}
    assert (study.diffusion["t1"] - study.diffusion["t0"] == 10_000).all()


def test_exponents_of_several_trainings_are_combined(studied):
    study, *_ = studied
    both = study.tables["combined"].set_index(["space", "over"])
    row = both.loc["q", "trajectories"]
    at = study.diffusion[(study.diffusion["space"] == "q") & (study.diffusion["t0"] == 14_000)]
    assert row["estimates"] == len(at) == len(study.summary)
    assert row["t0"] == 14_000
    assert at["exponent"].min() < row["exponent"] < at["exponent"].max()
    assert row["low"] <= 0.5 <= row["high"]
    assert row["high"] - row["low"] < (at["high"] - at["low"]).min()
    assert both.loc["w", "windows of big"]["estimates"] == 2


def test_a_short_training_does_without_what_it_is_too_short_for(store):
    few(store, steps=range(0, 5000, 1000))
    study = trajectory(["test"], splits=1)
    assert len(study.kl_previous) == 4
    assert study.settings["window"] == 3000
    assert any("too few checkpoints" in notice for notice in study.notices)
    run = mlflow.MlflowClient().get_run(study.run_id)
    assert "modelmap/kl_previous" in run.data.metrics
    assert all(math.isfinite(value) for value in run.data.metrics.values())
