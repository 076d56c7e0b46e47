"""Weighted texts from a score to every kind of map: what is logged, found again and computed."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TextSet, TrackingError
from mlflow_modelmap.drivers import one_score, spool
from mlflow_modelmap.drivers.score import score
from mlflow_modelmap.tracking.artifacts import local_path
from mlflow_modelmap.tracking.read_runs import select_runs
from mlflow_modelmap.tracking.read_vectors import read_matrix


@pytest.fixture
def weighted(texts) -> TextSet:
    weights = np.random.default_rng(0).gamma(1.0, size=len(texts)) + 0.1
    return TextSet(texts.name, texts.texts, weights=tuple(weights))


def get(store, run_id):
    return mlflow.MlflowClient(store).get_run(run_id)


def test_a_score_of_weighted_texts_holds_and_uses_their_weights(store, tiny_model, weighted):
    done = score(tiny_model, weighted, progress=False)
    run = get(store, done.run_id)
    path = local_path(run.info.artifact_uri) / "modelmap" / "log_likelihoods.parquet"
    assert pd.read_parquet(path)["weight"].tolist() == list(weighted.weights)
    assert run.data.tags["modelmap.text_weights"] == weighted.weights_digest
    assert run.data.tags["modelmap.text_set"] == weighted.digest
    mean = np.average(done.log_likelihoods, weights=weighted.weights)
    bits = -mean / (weighted.mean_bytes * np.log(2))
    assert done.bits_per_byte == pytest.approx(bits, rel=1e-12)
    assert run.data.metrics["modelmap/bits_per_byte"] == pytest.approx(bits, rel=1e-12)
    assert run.data.metrics["modelmap/mean_log_likelihood"] == pytest.approx(mean, rel=1e-12)
    assert one_score.as_result(done)["mean_log_likelihood"] == pytest.approx(mean, rel=1e-12)
    matrix, points = read_matrix(select_runs(run_ids=(done.run_id,)))
    assert matrix.weights.tolist() == list(weighted.weights)
    assert points[0].bits_per_byte == pytest.approx(bits, rel=1e-12)


def test_other_weights_are_another_score_and_the_same_ones_are_found(
    store, tiny_model, texts, weighted
):
    plain = score(tiny_model, texts, progress=False)
    first = score(tiny_model, weighted, progress=False)
    again = score(tiny_model, weighted, progress=False)
    assert (first.skipped, again.skipped, again.run_id) == (False, True, first.run_id)
    assert again.bits_per_byte == pytest.approx(first.bits_per_byte, rel=1e-12)
    np.testing.assert_array_equal(first.log_likelihoods, plain.log_likelihoods)
    with pytest.raises(InputError, match=f"{first.run_id}.*{plain.run_id}.*different weights"):
        read_matrix(select_runs(run_ids=(plain.run_id, first.run_id)))


def test_a_vector_that_waits_in_the_spool_is_logged_with_its_weights(
    store, tiny_model, weighted, monkeypatch
):
    def dies(*_, **__):
        raise RuntimeError("the store is gone")

    with monkeypatch.context() as broken:
        broken.setattr(one_score, "log_score", dies)
        with pytest.raises(TrackingError, match="is kept in"):
            score(tiny_model, weighted, progress=False)
    assert len(list(spool.spool_folder().glob("*.parquet"))) == 1
    done = score(tiny_model, weighted, progress=False)
    matrix, _ = read_matrix(select_runs(run_ids=(done.run_id,)))
    assert matrix.weights.tolist() == list(weighted.weights)
    assert not list(spool.spool_folder().glob("*.parquet"))
