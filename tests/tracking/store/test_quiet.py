"""MLflow is silenced, and the environment is as before afterwards."""

from __future__ import annotations

import os

from mlflow_modelmap.tracking.store.client import client as client_of
from mlflow_modelmap.tracking.store.quiet import quiet


def test_quiet_is_quiet_and_leaves_the_environment_as_it_was(store, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    with quiet():
        client = client_of(f"sqlite:///{tmp_path / 'new.db'}")
        where = client.create_experiment("e", artifact_location=(tmp_path / "art").as_uri())
        run = client.create_run(where)
        for name in "ab":
            (tmp_path / name).write_text(name)
            client.log_artifact(run.info.run_id, str(tmp_path / name))
        client.set_terminated(run.info.run_id)
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true"
    assert capfd.readouterr() == ("", "")
