"""The noise of a score on its run: logged, read back, in no identity, said of a KL within it."""

from __future__ import annotations

import math

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner

import mlflow_modelmap as mm
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.pair.compare import as_json, compare
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.identity import identity
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.surfaces.cli import cli
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.scored import made_up, write_score


def test_a_score_logs_the_kl_between_two_scores_of_it(store, tiny_model, texts):
    done = mm.score(tiny_model, texts, precision="bfloat16", batch_tokens=150, progress=False)
    run = mlflow.MlflowClient(store).get_run(done.run_id).data
    settings = ScoringSettings(precision="bfloat16", batch_tokens=150)
    second = score_texts(local_files(str(tiny_model)), texts, settings).second
    difference = second.log_likelihoods - done.log_likelihoods[second.texts]
    size = np.array(texts.bytes)[second.texts].mean()
    expected = np.var(difference, ddof=1) / (2 * size * math.log(2))
    assert run.metrics["modelmap/noise_kl"] == pytest.approx(expected)
    assert run.metrics["modelmap/noise_kl_se"] > 0 or not difference.any()
    assert run.params["modelmap.noise_texts"] == "20"
    assert "modelmap.noise_kl" not in run.params
    (point,) = select_runs(run_ids=[done.run_id], store=mlflow.MlflowClient(store))
    assert point.noise_kl == run.metrics["modelmap/noise_kl"]


def test_a_float32_score_logs_none_unless_asked(store, tiny_model, texts):
    done = mm.score(tiny_model, texts, progress=False)
    run = mlflow.MlflowClient(store).get_run(done.run_id).data
    assert not [name for name in {**run.metrics, **run.params} if "noise" in name]
    # It changes no number, so the score is found whatever is asked.
    assert mm.score(tiny_model, texts, noise=5, progress=False).skipped
    again = mm.score(tiny_model, texts, noise=5, again=True, progress=False)
    run = mlflow.MlflowClient(store).get_run(again.run_id).data
    assert run.params["modelmap.noise_texts"] == "5"
    assert run.metrics["modelmap/noise_kl"] < 1e-8


def test_it_is_in_no_identity():
    made_from = ("commit", "digest", "float32", "cpu")
    plain = identity(*made_from, ScoringSettings(), {})
    assert identity(*made_from, ScoringSettings(noise=7), {}) == plain


def noisy(store, kl_noise: float, *names: str) -> list[str]:
    """Runs of one model scored several times, that log this noise KL."""
    values, size = made_up(1, texts=60)
    random = np.random.default_rng(3)
    spread = math.sqrt(kl_noise * size.mean() * math.log(2))
    ids = []
    for name in names:
        ids.append(write_score(store, name, values[0] + random.normal(0, spread, 60), size))
        mlflow.MlflowClient(store).log_metric(ids[-1], "modelmap/noise_kl", kl_noise)
    return ids


def test_a_kl_within_the_noise_is_said_to_be(store):
    noisy(store, 1e-3, "a", "b")
    found = compare("a", "b")
    assert found.kl == pytest.approx(1e-3, rel=0.5)
    assert found.noise_floor == pytest.approx(1e-3)
    assert found.within_noise
    assert as_json(found)["within_noise"] is True
    printed = CliRunner().invoke(cli, ["compare", "a", "b"]).output
    assert "within the noise of the scores" in printed
    values, size = made_up(1, texts=60)
    write_score(store, "far", values[0] + np.linspace(-30, 30, 60), size)
    assert not compare("a", "far").within_noise
    assert "noise" not in CliRunner().invoke(cli, ["compare", "a", "far"]).output


def test_a_map_says_it_of_its_closest_pairs(store):
    noisy(store, 1e-3, "a", "b")
    values, size = made_up(1, texts=60)
    write_score(store, "far", values[0] + np.linspace(-30, 30, 60), size)
    made = build_map(["test"])
    noise = made.points.set_index("point")["noise_kl"]
    assert noise[["a", "b"]].tolist() == [1e-3, 1e-3]
    assert np.isnan(noise["far"])
    pairs = made.closest_pairs()
    assert pairs["within_noise"].tolist() == [True, False, False]
    assert pairs["noise_floor"].tolist() == pytest.approx([1e-3, 5e-4, 5e-4])
    printed = CliRunner().invoke(cli, ["map", "--experiment", "test"]).output
    assert printed.count("within the noise of the scores") == 1
