"""Everything that logs and reads, on a team's store: PostgreSQL, S3, artifacts proxied or not."""

from __future__ import annotations

import json
import urllib.request

import mlflow
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mlflow_modelmap as mm
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import TrackingError
from tests.logged import log_model
from tests.object_storage import KEYS, not_here, storage
from tests.postgres import create_database, postgres
from tests.serving import serving

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not_here() is not None, reason=not_here() or ""),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A PostgreSQL server and S3-protocol storage with a bucket ``runs``."""
    folder = tmp_path_factory.mktemp("team")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        with postgres() as database, storage(folder, "runs") as endpoint:
            yield database, endpoint, folder


@pytest.fixture(params=["proxied", "direct"])
def server(request, parts, monkeypatch, tmp_path):
    """Address of an `mlflow server` with the page, through which or beside which artifacts go."""
    database, endpoint, folder = parts
    for name, value in {**KEYS, "MLFLOW_S3_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    where = f"s3://runs/{request.param}"
    options = ["--backend-store-uri", create_database(database, request.param)]
    if request.param == "proxied":
        options += ["--artifacts-destination", where]
    else:
        options += ["--no-serve-artifacts", "--default-artifact-root", where]
    env = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": endpoint}
    with serving(folder, *options, "--app-name", "modelmap", env=env) as address:
        mlflow.set_tracking_uri(address)
        yield address


def page(address, api, **asked):
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    with urllib.request.urlopen(f"{address}/modelmap/api/{api}?{query}", timeout=120) as answer:
        return json.load(answer)


def test_what_a_team_does(server, tiny_models, texts, tmp_path):
    uri = mm.log_texts(texts)
    assert mm.load_texts(texts.name).digest == texts.digest
    family = tmp_path / "family"
    family.mkdir()
    base = AutoModelForCausalLM.from_pretrained(tiny_models("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_models("llama"))
    for step in range(6):
        base.save_pretrained(family / f"step{step}")
        tokenizer.save_pretrained(family / f"step{step}")
        with torch.no_grad():
            base.get_output_embeddings().weight.add_(0.02 * (step + 1))
    plan = {
        "experiment": "team",
        "models": [
            {"model": str(family / "step{step}"), "steps": [*range(6)], "trajectory": "line"},
            str(tiny_models(seed=1)),
        ],
    }
    done = mm.sweep(plan, texts=uri, progress=False)
    assert [row.state for row in done.rows] == ["scored"] * 7
    assert [row.state for row in mm.sweep(plan, texts=uri, progress=False).rows] == ["skipped"] * 7
    matrix, points = select(["team"]).matrix()
    assert np.isfinite(matrix.values).all()

    made = mm.build_map(["team"])
    loaded = mm.load_map(made.run_id)
    assert np.array_equal(loaded.kl.to_numpy(), made.kl.to_numpy())
    assert page(server, "run", run_id=made.run_id)["head"]["kind"] == "map"
    told = json.dumps(page(server, "pair", run_id=made.run_id, a=0, b=6))
    for name in (made.points["point"][0], made.points["point"][6]):
        assert json.dumps(name) in told
    assert len(points) == 7

    along = mm.trajectory(["team"], figures=False, drop_texts=None)
    assert len(mm.load_trajectory(along.run_id).kl_previous) == 5
    measured = mm.compare("line step 0", "line step 1", experiments=["team"])
    assert measured.kl == pytest.approx(made.between("line step 0", "line step 1").kl)
    assert mm.build_scale(["team"]).run_id

    mlflow.set_experiment("registry")
    for step in (0, 1):
        with mlflow.start_run():
            log_model(family / f"step{step}", registered_model_name="tiny")
    decision = mm.gate(
        "models:/tiny/2", reference="models:/tiny/1", texts=uri, max_kl=100.0, tag_version=True
    )
    assert decision.verdict == "pass"
    tags = mlflow.MlflowClient().get_model_version("tiny", "2").tags
    assert tags["modelmap.gate"] == "pass"

    mlflow.set_experiment("monitored")
    with (
        mlflow.start_run(),
        mm.Monitor(texts, tokenizer=tokenizer, trajectory="t", raise_errors=True) as monitor,
    ):
        for step in range(3):
            assert monitor.record(base, step) is not None
    assert len(select(["monitored"]).matrix()[1]) == 3


def test_storage_without_the_bucket_is_said_before_scoring(parts, tiny_model, texts, tmp_path):
    _, endpoint, _ = parts
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", endpoint)
        mlflow.MlflowClient().create_experiment("gone", artifact_location="s3://nowhere/at-all")
        with pytest.raises(TrackingError, match="cannot be written to 's3://nowhere/at-all'"):
            mm.score(str(tiny_model), texts, experiment="gone", progress=False)
    assert mlflow.search_runs(experiment_names=["gone"]).empty
