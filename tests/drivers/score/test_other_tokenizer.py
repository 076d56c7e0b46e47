"""A tokenizer that is not beside its model: from a directory, the Hub or the store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import mlflow
import numpy as np
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.exact.scored_model import model_behind
from mlflow_modelmap.drivers.score.plan_file import parse_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import tiny
from tests.hub_server import HubServer


@pytest.fixture
def apart(tiny_model, tmp_path):
    """A model's weights in one folder, its tokenizer in another."""
    model, tokenizer = tmp_path / "bare", tmp_path / "tokenizer"
    model.mkdir()
    tokenizer.mkdir()
    for path in tiny_model.iterdir():
        shutil.copy(path, tokenizer if "token" in path.name else model)
    return model, tokenizer


def _score(model, texts, **options):
    return mm.score(model, texts, progress=False, **options)


def test_a_directory(store, tiny_model, texts, apart):
    model, tokenizer = apart
    with pytest.raises(InputError, match="has no tokenizer"):
        _score(model, texts)
    whole = _score(tiny_model, texts)
    done = _score(model, texts, tokenizer=tokenizer)
    np.testing.assert_array_equal(done.log_likelihoods, whole.log_likelihoods)
    run = mlflow.MlflowClient(store).get_run(done.run_id)
    assert run.data.params["modelmap.tokenizer"] == str(tokenizer.resolve())
    assert _score(model, texts, tokenizer=tokenizer).skipped
    moved = tokenizer.with_name("moved")
    tokenizer.rename(moved)
    assert _score(model, texts, tokenizer=moved).skipped  # its content is what counts


def test_another_tokenizer_is_another_score(store, texts, apart, tmp_path):
    model, tokenizer = apart
    first = _score(model, texts, tokenizer=tokenizer)
    tiny.make_tokenizer(tmp_path / "smaller", vocab_size=300)
    other = _score(model, texts, tokenizer=tmp_path / "smaller")
    assert not other.skipped
    assert not np.allclose(first.log_likelihoods, other.log_likelihoods)


def test_one_that_does_not_belong_to_the_model_is_refused(store, texts, apart, tmp_path):
    model, _ = apart
    tiny.make_tokenizer(tmp_path / "larger", vocab_size=440)
    with pytest.raises(InputError, match="do not belong together"):
        _score(model, texts, tokenizer=tmp_path / "larger")


def test_the_hub_gives_it_without_weights(store, tiny_model, texts, apart, tmp_path, monkeypatch):
    model, tokenizer = apart
    with HubServer() as hub:
        hub.add("org/base", tiny_model)
        hub.use(monkeypatch, tmp_path / "cache")
        done = _score(model, texts, tokenizer="org/base")
        assert not any("safetensors" in request for request in hub.requests)
        expected = _score(model, texts, tokenizer=tokenizer, again=True)
        np.testing.assert_array_equal(done.log_likelihoods, expected.log_likelihoods)
        hub.add("org/bare", {"config.json": b"{}"})
        with pytest.raises(InputError, match="'org/bare' has no tokenizer"):
            _score(model, texts, tokenizer="org/bare")
        with pytest.raises(InputError, match="There is no model 'org/none'"):
            _score(model, texts, tokenizer="org/none")


def test_a_hub_model_with_a_local_one(store, texts, apart, tmp_path, monkeypatch):
    model, tokenizer = apart
    with HubServer() as hub:
        hub.add("org/bare", model)
        hub.use(monkeypatch, tmp_path / "cache")
        with pytest.raises(InputError, match="has no tokenizer"):
            _score("org/bare", texts)
        done = _score("org/bare", texts, tokenizer=tokenizer)
        hub.status = 503  # the cache alone must do
        assert _score("org/bare", texts, tokenizer=tokenizer).skipped
    expected = _score(model, texts, tokenizer=tokenizer)
    np.testing.assert_array_equal(done.log_likelihoods, expected.log_likelihoods)


def test_an_artifact_of_a_run(store, texts, apart):
    model, tokenizer = apart
    client = mlflow.MlflowClient(store)
    run = client.create_run(client.get_experiment_by_name("test").experiment_id)
    client.log_artifacts(run.info.run_id, str(tokenizer), "tokenizer")
    client.log_artifacts(run.info.run_id, str(model), "model")
    done = _score(
        f"runs:/{run.info.run_id}/model",
        texts,
        tokenizer=f"runs:/{run.info.run_id}/tokenizer",
    )
    expected = _score(model, texts, tokenizer=tokenizer)
    np.testing.assert_array_equal(done.log_likelihoods, expected.log_likelihoods)


def test_a_plan_looks_beside_itself(apart, tmp_path):
    plan = parse_plan({"models": [{"model": "bare", "tokenizer": "tokenizer"}]})
    (asked,) = requests(plan, tmp_path)
    assert asked.settings.tokenizer == str((tmp_path / "tokenizer").resolve())


def test_the_model_behind_a_score_has_it_again(store, texts, apart):
    model, tokenizer = apart
    done = _score(model, texts, tokenizer=tokenizer, eos="always")
    (point,) = select_runs(run_ids=[done.run_id])
    behind = model_behind(point, texts, mlflow.MlflowClient(store))
    assert behind.files.tokenizer_path == str(tokenizer.resolve())
    assert behind.request.settings.eos == "always"


def test_the_model_behind_a_score_has_its_settings_again(store, tiny_model, texts):
    asked = {"bos": "always", "overlong": "truncate", "split_special_tokens": True}
    done = _score(tiny_model, texts, **asked)
    (point,) = select_runs(run_ids=[done.run_id])
    settings = model_behind(point, texts, mlflow.MlflowClient(store)).request.settings
    assert {name: getattr(settings, name) for name in asked} == asked


def test_trust_does_not_reach_a_tokenizer_that_a_run_names(store, texts, apart):
    model, tokenizer = apart
    done = _score(model, texts, tokenizer=tokenizer)
    path = tokenizer / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": [None, "own.Own"]}}
    path.write_text(json.dumps(config))
    marker = tokenizer / "marker"
    (tokenizer / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    (point,) = select_runs(run_ids=[done.run_id])
    client = mlflow.MlflowClient(store)
    forged = replace(point, commit=None)
    with pytest.raises(InputError, match="because the run named it and not you"):
        model_behind(forged, texts, client, trust_remote_code=True)
    assert not marker.exists()
