"""`mlflow run -e trajectory` logs into the run that MLflow made, and fails with one sentence."""

from __future__ import annotations

import mlflow
import pytest

from mlflow_modelmap import load_trajectory
from tests.e2e.test_mlproject import run_project
from tests.scored import made_up, write_score

pytestmark = pytest.mark.slow


@pytest.mark.heavy
def test_a_trajectory_is_studied_in_the_projects_own_run(store):
    values, size = made_up(12, 60)
    for k, row in enumerate(values):
        write_score(store, f"it's {k}", row, size, trajectory="one 'quoted' training", step=100 * k)
    done = run_project("trajectory", experiments="test", splits=2, leave_out="it's 3", window=500)
    assert done.returncode == 0, done.stderr
    (run,) = mlflow.search_runs(["1"], "tags.`modelmap.kind` = 'trajectory'", output_format="list")
    assert run.info.status == "FINISHED"
    assert run.data.params["window"] == "500"
    study = load_trajectory(run.info.run_id)
    assert study.points["step"].tolist() == [100 * k for k in range(12) if k != 3]
    assert study.kl_previous["step_from"].tolist()[2:4] == [200, 400]
    again = run_project("trajectory", experiments="test", window=9000)
    assert again.returncode != 0
    assert (
        "Error: The trajectory \"one 'quoted' training\" spans 1000 steps from step 16"
        in again.stderr
    )
    failed = mlflow.search_runs(["1"], "attributes.status = 'FAILED'", output_format="list")
    assert len(failed) == 1
