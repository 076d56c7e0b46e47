"""A study of trajectories with everything on, made once."""

from __future__ import annotations

import shutil

import mlflow
import pytest

from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.tracking.runs.study_run import write_study
from tests.drivers.trajectory.trainings import texts, vectors, weight_distances, write_trainings


@pytest.fixture(scope="session")
def studied(_empty_store, tmp_path_factory):
    """The study with everything on, made once: (study, run, store, run ids)."""
    folder = tmp_path_factory.mktemp("studied")
    shutil.copy(_empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    client.create_experiment("test", artifact_location=(folder / "artifacts").as_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        ids = write_trainings(uri, vectors(), texts())
        weights = write_study(
            "weights", tables={"weight_distances": weight_distances()}, experiment="test"
        )
        study = trajectory(
            ["test"],
            weights_run=weights,
            texts=texts(),
            clip=None,
            drop_texts=0.03,
            start=14_000,
            splits=3,
        )
    return study, client.get_run(study.run_id), client, ids


@pytest.fixture
def there(studied):
    mlflow.set_tracking_uri(studied[2].tracking_uri)
    return studied
