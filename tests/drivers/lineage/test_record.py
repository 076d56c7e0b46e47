"""What the registry refuses is said, and given back by the run."""

from __future__ import annotations

import mlflow

from mlflow_modelmap.drivers.lineage.study import load_lineage
from tests.drivers.lineage.models import measure


def test_a_registry_that_refuses_tags_is_said_and_given_back(family, tmp_path):
    family.version("team-liar", tags={"base_model": "team-nobody"})
    mlflow.set_registry_uri(f"sqlite:///file:{tmp_path / 'mlflow.db'}?mode=ro&uri=true")
    found = measure()
    refused = [n for n in found.notices if "cannot be tagged" in n]
    assert len(refused) == 5
    assert load_lineage(found.run_id).notices == found.notices
    run = family.client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert "modelmap.lineage_run" not in family.client.get_model_version("team-chat", "1").tags
