"""Where artifacts cannot be written a study says so before it computes, in one sentence."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.drivers.study import scale
from mlflow_modelmap.drivers.study.scale import build_scale
from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking.runs.destination import check_destination
from mlflow_modelmap.tracking.runs.study_run import write_study
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from tests.tracking.conftest import write_run  # noqa: F401 - a fixture


@pytest.fixture
def closed(store, tmp_path):
    """An experiment whose artifacts would lie below a file, where nobody, not even root, writes."""
    (tmp_path / "a file").write_text("no folder\n")
    where = (tmp_path / "a file" / "below").as_uri()
    mlflow.MlflowClient(store).create_experiment("closed", artifact_location=where)
    return where


def test_a_study_is_refused_before_anything_is_computed(closed, write_run, monkeypatch):  # noqa: F811
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        write_run(name, -50 + generator.normal(size=20))
    monkeypatch.setattr(scale, "pair_groups", lambda *_, **__: pytest.fail("it was computed"))
    with pytest.raises(TrackingError, match=r"cannot be written to .*below.*lie elsewhere"):
        build_scale(["test"], output_experiment="closed")
    assert mlflow.search_runs(experiment_names=["closed"]).empty


def test_artifacts_that_fail_at_the_end_are_a_sentence_and_the_run_failed(closed, store):
    with pytest.raises(TrackingError, match="Artifacts cannot be written to"):
        write_study("scale", texts={"a.txt": "x"}, experiment="closed")
    (run,) = mlflow.MlflowClient(store).search_runs(
        [mlflow.get_experiment_by_name("closed").experiment_id]
    )
    assert run.info.status == "FAILED"
    assert "Artifacts cannot be written" in run.data.tags["modelmap.error"]


def test_looking_leaves_nothing_behind(store, tmp_path):
    check_artifacts_writable(mlflow.MlflowClient(store), "test")
    assert not [p for p in (tmp_path / "artifacts").rglob("*") if p.is_file()]
    assert check_destination([], mlflow.MlflowClient(store), "test", None) is None
