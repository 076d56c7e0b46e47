"""Everything that logs and reads, on a team's store: a database server, S3, proxied or not."""

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
from tests import mariadb, postgres
from tests.logged import log_model
from tests.object_storage import KEYS, not_here, storage
from tests.serving import serving

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not_here() is not None, reason=not_here() or ""),
]
DATABASES = {"PostgreSQL": postgres, "MariaDB": mariadb}


def way(database, artifacts):
    lacking = DATABASES[database].missing()
    skip = pytest.mark.skipif(lacking is not None, reason=lacking or "")
    return pytest.param(database, artifacts, marks=skip, id=f"{database}-{artifacts}")


# Which way artifacts go does not depend on the database, so that one takes both.
WAYS = [way("PostgreSQL", "proxied"), way("PostgreSQL", "direct"), way("MariaDB", "proxied")]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """Address of S3-protocol storage with a bucket ``runs``."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        with storage(tmp_path_factory.mktemp("storage"), "runs") as address:
            yield address


@pytest.fixture
def server(database, artifacts, endpoint, monkeypatch, tmp_path):
    """Address of an `mlflow server` with the page, through which or beside which artifacts go."""
    env = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": endpoint}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_MODELMAP_SPOOL", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    where = f"s3://runs/{database}/{artifacts}"
    kind = DATABASES[database]
    with kind.running() as databases:
        options = ["--backend-store-uri", kind.create_database(databases, artifacts)]
        if artifacts == "proxied":
            options += ["--artifacts-destination", where]
        else:
            options += ["--no-serve-artifacts", "--default-artifact-root", where]
        with serving(tmp_path, *options, "--app-name", "modelmap", env=env) as address:
            mlflow.set_tracking_uri(address)
            yield address


def page(address, api, **asked):
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    with urllib.request.urlopen(f"{address}/modelmap/api/{api}?{query}", timeout=120) as answer:
        return json.load(answer)


@pytest.mark.parametrize(("database", "artifacts"), WAYS)
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
    listed = page(server, "experiments")["experiments"]
    assert [of["kinds"]["map"] for of in listed if of["name"] == "team"] == [1]
    members = page(server, "members", run_id=made.run_id)
    assert len(members["experiments"]) == 7
    assert None not in members["experiments"]
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


def test_storage_without_the_bucket_is_said_before_scoring(endpoint, tiny_model, texts, tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", endpoint)
        mlflow.MlflowClient().create_experiment("gone", artifact_location="s3://nowhere/at-all")
        with pytest.raises(TrackingError, match="cannot be written to 's3://nowhere/at-all'"):
            mm.score(str(tiny_model), texts, experiment="gone", progress=False)
    assert mlflow.search_runs(experiment_names=["gone"]).empty
