"""A tokenizer that is not beside its model: from a directory, the Hub or the store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import mlflow
import numpy as np
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, ScoringError, TextSet
from mlflow_modelmap.drivers.exact.scored_model import model_behind
from mlflow_modelmap.drivers.score.plan_file import parse_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests import tiny
from tests.hub_server import HubServer
from tests.scoring.tokenizer import foreign_class


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


@pytest.fixture
def declared(tmp_path):
    """One tokenizer.json in folders whose config.json lead to other classes."""
    folders = {}
    for family in ("gpt2", "qwen2", "gemma"):
        folders[family] = tmp_path / f"tokenizer-{family}"
        folders[family].mkdir()
        foreign_class.write(folders[family], None)
        (folders[family] / "config.json").write_text(json.dumps({"model_type": family}))
    return folders


SPLIT = TextSet("split", foreign_class.TEXTS)


BY_MODEL_TYPE = pytest.mark.skipif(
    tiny.TRANSFORMERS < 5, reason="its classes read a tokenizer.json as it is"
)


@BY_MODEL_TYPE
def test_the_class_that_a_tokenizer_s_own_folder_leads_to_counts(store, apart, declared):
    model, _ = apart
    made = {
        family: _score(model, SPLIT, tokenizer=declared[family], tokens_from="class")
        for family in ("gpt2", "qwen2")
    }
    assert not made["qwen2"].skipped
    again = _score(
        model, SPLIT, tokenizer=declared["qwen2"], tokens_from="class", again=True, name="again"
    )
    np.testing.assert_array_equal(made["qwen2"].log_likelihoods, again.log_likelihoods)
    assert not np.allclose(made["gpt2"].log_likelihoods, again.log_likelihoods)


@BY_MODEL_TYPE
def test_in_a_sweep_too(store, apart, declared):
    model, _ = apart
    other = shutil.copytree(model, model.with_name("other"))
    entries = [
        {"model": str(of), "tokenizer": str(declared[family]), "tokens_from": "class"}
        for of, family in ((model, "gpt2"), (other, "qwen2"))
    ]
    path = model.with_name("split.json")
    path.write_text(json.dumps(SPLIT.texts))
    done = mm.sweep({"texts": str(path), "models": entries}, progress=False)
    alone = _score(other, SPLIT, tokenizer=declared["qwen2"], tokens_from="class", again=True)
    assert done.rows[1].bits_per_byte == alone.bits_per_byte
    assert done.rows[0].bits_per_byte != alone.bits_per_byte


@BY_MODEL_TYPE
def test_a_class_that_cannot_read_the_texts_is_one_sentence(store, apart, declared):
    model, _ = apart
    with pytest.raises(
        ScoringError, match=r"GemmaTokenizer\) cannot read these texts .*tokens_from"
    ):
        _score(model, SPLIT, tokenizer=declared["gemma"], tokens_from="class")


def test_a_tokenizer_that_changed_is_noticed(store, texts, apart):
    model, tokenizer = apart
    done = _score(model, texts, tokenizer=tokenizer)
    (point,) = select_runs(run_ids=[done.run_id])
    config = tokenizer / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"note": "changed"}))
    forged = replace(point, commit=None)
    with pytest.raises(InputError, match="is no longer what it was scored with"):
        model_behind(forged, texts, mlflow.MlflowClient(store))


def test_a_file_of_a_tokenizer_is_not_its_directory(store, texts, apart):
    model, tokenizer = apart
    with pytest.raises(InputError, match="give the directory that holds the tokenizer"):
        _score(model, texts, tokenizer=tokenizer / "tokenizer.json")
