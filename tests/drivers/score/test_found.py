"""Finding a score: by its identity or that of version 0.1.0, and only if its tags agree."""

from __future__ import annotations

import sqlite3

import mlflow
import pytest

from mlflow_modelmap import TextSet, score
from mlflow_modelmap.drivers.pair.reference_score import reference_score
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings


def test_batch_size_and_default_settings_make_no_other_score(store, tiny_model, texts):
    first = score(tiny_model, texts)
    for same in ({"batch_tokens": 64}, {"precision": "float32"}, {"device": "cpu"}):
        assert score(tiny_model, texts, **same).run_id == first.run_id


@pytest.mark.parametrize("settings", [{}, {"layers": True}])
def test_a_score_that_version_0_1_0_made_is_found_everywhere(store, tiny_model, texts, settings):
    first = score(tiny_model, texts, **settings)
    request = ScoreRequest(
        reference=ModelReference.parse(tiny_model), settings=ScoringSettings(**settings)
    )
    own, former = prepare(request, texts).identities
    assert mlflow.get_run(first.run_id).data.tags["modelmap.identity"] == own
    mlflow.MlflowClient().set_tag(first.run_id, "modelmap.identity", former)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as held:
        held.execute("UPDATE params SET value = '0.1.0' WHERE key = 'modelmap.mlflow_modelmap'")
    assert score(tiny_model, texts, **settings).run_id == first.run_id
    found = reference_score(tiny_model, texts, settings=ScoringSettings(**settings))
    assert (found.run_id, found.scored_now) == (first.run_id, False)
    done = sweep({"models": [{"model": str(tiny_model), **settings}]}, texts=texts)
    assert [(row.state, row.run_id) for row in done.rows] == [("skipped", first.run_id)]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("modelmap.model", "org/another"),
        ("modelmap.commit", "sha256:0"),
        ("modelmap.text_set", "0" * 64),
        ("modelmap.precision", "bfloat16"),
    ],
)
def test_a_run_whose_own_tags_say_something_else_is_not_believed(
    store, tiny_model, texts, tag, value
):
    first = score(tiny_model, texts)
    mlflow.MlflowClient().set_tag(first.run_id, tag, value)
    second = score(tiny_model, texts)
    assert not second.skipped
    assert reference_score(tiny_model, texts).run_id == second.run_id
    assert second.run_id != first.run_id


def test_weights_and_other_texts_are_other_scores(store, tiny_model, texts):
    score(tiny_model, texts)
    weighted = TextSet(texts.name, texts.texts, weights=tuple(range(1, len(texts) + 1)))
    assert not score(tiny_model, weighted).skipped
