"""An alias moves: a score names the version, and a comparison means the version of now."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap import InputError
from tests.logged import log_model


@pytest.fixture
def versions(store, tiny_models):
    """Two versions of a registered model, the first of them the champion."""
    for architecture in ("gpt_neox", "llama"):
        with mlflow.start_run():
            log_model(tiny_models(architecture), registered_model_name="tiny")
    client = mlflow.MlflowClient(store)
    client.set_registered_model_alias("tiny", "champion", "1")
    return client


def test_a_moved_alias_is_another_model(versions, texts):
    before = mm.score("models:/tiny@champion", texts, progress=False)
    other = mm.score("models:/tiny/2", texts, progress=False)
    run = versions.get_run(before.run_id)
    assert before.name == run.info.run_name == "tiny/1"
    assert run.data.tags["modelmap.model"] == "models:/tiny/1"
    assert run.data.tags["modelmap.alias"] == "models:/tiny@champion"
    assert "modelmap.alias" not in versions.get_run(other.run_id).data.tags
    assert mm.score("models:/tiny/1", texts, progress=False).run_id == before.run_id
    measured = mm.compare("models:/tiny@champion", "tiny/2")
    assert measured.a.run_id == before.run_id

    versions.set_registered_model_alias("tiny", "champion", "2")
    after = mm.score("models:/tiny@champion", texts, progress=False)
    assert after.skipped
    assert after.run_id == other.run_id
    np.testing.assert_array_equal(after.log_likelihoods, other.log_likelihoods)
    assert mm.compare("models:/tiny@champion", before.run_id).a.run_id == other.run_id


def test_an_alias_whose_version_is_not_scored_is_not_what_it_was(versions, texts, tiny_model):
    mm.score("models:/tiny@champion", texts, progress=False)
    mm.score(tiny_model, texts, name="other", progress=False)
    versions.set_registered_model_alias("tiny", "champion", "2")
    with pytest.raises(InputError, match=r"No finished score of 'models:/tiny/2'"):
        mm.compare("models:/tiny@champion", "other")
    with pytest.raises(InputError, match=r"models:/tiny@nobody"):
        mm.compare("models:/tiny@nobody", "other")


def test_a_sweep_names_the_version_too(versions, texts):
    done = mm.sweep({"models": ["models:/tiny@champion"]}, texts=texts, progress=False)
    assert [row.point for row in done.rows] == ["tiny/1"]
    assert versions.get_run(done.rows[0].run_id).info.run_name == "tiny/1"
