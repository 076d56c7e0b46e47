"""The gate and scores that it did not make: forged, swapped, named, trusted, made again."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TextSet, TrackingError, score
from mlflow_modelmap.drivers.gate.gate import gate
from mlflow_modelmap.drivers.pair import reference_score
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.tracking.runs.artifacts import local_path
from tests.hub_server import HubServer
from tests.logged import log_model
from tests.scored import write_score


@pytest.fixture(scope="module")
def many(texts) -> TextSet:
    more = tuple(f"{text} again, {k}" for k, text in enumerate(texts.texts))
    return TextSet("many texts", texts.texts + more)


@pytest.fixture
def champion(tiny_models):
    return tiny_models(seed=0)


@pytest.fixture
def candidate(tiny_models):
    return tiny_models(seed=1)


@pytest.fixture
def forge(store, many, champion):
    """A run that claims the score of a model, but holds the champion's vector; its id."""
    values = score(champion, many, experiment="the champion's own").log_likelihoods

    def write(of, experiment, **tags):
        request = ScoreRequest(reference=ModelReference.parse(of))
        claimed = {
            name.removeprefix("modelmap."): value
            for name, value in prepare(request, many).tags.items()
            if value is not None
        }
        del claimed["text_set"]
        return write_score(
            store,
            request.point_name,
            values,
            many.bytes,
            experiment=experiment,
            digest=many.digest,
            **{**claimed, **tags},
        )

    return write


def test_a_forged_score_in_another_experiment_is_not_believed(forge, champion, candidate, many):
    forged = forge(candidate, "playground")
    decision = gate(candidate, champion, many, max_kl=1e-6)
    assert decision.verdict == "fail"
    assert decision.candidate.run_id != forged
    assert (decision.candidate.origin, decision.candidate.scored_now) == ("made", True)


@pytest.mark.parametrize("tag", ["model", "commit", "precision", "revision", "text_weights"])
def test_a_score_of_the_own_experiment_that_says_something_else_is_not_believed(
    forge, champion, candidate, many, tag
):
    forge(candidate, "test", **{tag: "another"})
    assert gate(candidate, champion, many, max_kl=1e-6).verdict == "fail"


def test_a_trusted_experiment_is_believed_where_its_tags_agree(store, champion, candidate, many):
    there = score(candidate, many, experiment="nightly")
    asked = {"max_kl": 1e6, "trusted": ["nightly"]}
    decision = gate(candidate, champion, many, **asked)
    assert decision.candidate.run_id == there.run_id
    assert decision.candidate.origin == "found"
    assert decision.notices
    assert "named" not in decision.paragraph
    mlflow.MlflowClient(store).set_tag(there.run_id, "modelmap.commit", "sha256:0")
    assert gate(candidate, champion, many, **asked).candidate.run_id != there.run_id
    with pytest.raises(InputError, match="There is no experiment 'nowhere'"):
        gate(candidate, champion, many, max_kl=1.0, trusted="nowhere")


def test_the_own_experiment_is_the_one_that_is_logged_into(store, champion, candidate, many):
    there = score(candidate, many, experiment="releases")
    assert gate(candidate, champion, many, max_kl=1e6).candidate.run_id != there.run_id
    for where in ({"experiment": "releases"}, {"run_id": "of releases"}):
        if "run_id" in where:
            client = mlflow.MlflowClient(store)
            of = client.get_experiment_by_name("releases").experiment_id
            where = {"run_id": client.create_run(of).info.run_id}
        decision = gate(candidate, champion, many, max_kl=1e6, **where)
        assert decision.candidate.run_id == there.run_id
        assert mlflow.get_run(decision.reference.run_id).info.experiment_id == (
            mlflow.get_run(decision.run_id).info.experiment_id
        )


def test_again_scores_both_anew(store, champion, candidate, many, all_runs):
    first = gate(candidate, champion, many, max_kl=1e6)
    again = gate(candidate, champion, many, max_kl=1e6, again=True)
    assert (again.candidate.origin, again.reference.origin) == ("made", "made")
    ids = {one.run_id for of in (first, again) for one in (of.candidate, of.reference)}
    assert len(ids) == 4
    for named in (first.candidate.run_id, "no such name"):
        with pytest.raises(InputError, match=r"which cannot be made again|is neither a run"):
            gate(named, champion, many, max_kl=1e6, again=True)


def test_a_name_on_the_hub_is_that_model_whatever_a_run_is_called(
    store, champion, many, monkeypatch, tmp_path
):
    values = np.full(len(many), -20.0)
    write_score(store, "org/model", values, many.bytes, digest=many.digest, experiment="playground")
    with HubServer() as hub:
        hub.use(monkeypatch, tmp_path)
        with pytest.raises(InputError, match="There is no model 'org/model'"):
            gate("org/model", champion, many, max_kl=1e6)


def test_a_model_that_another_experiment_s_tag_claims_is_not_that_model(store, champion, many):
    run = write_score(
        store, "a run", np.full(len(many), -20.0), many.bytes,
        digest=many.digest, experiment="playground", model="gpt2",
    )  # fmt: skip
    with pytest.raises(InputError, match=f"by run {run} of the experiment 'playground', which"):
        gate("gpt2", champion, many, max_kl=1e6)
    assert gate("gpt2", champion, many, max_kl=1e6, trusted=["playground"]).candidate.run_id == run


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_named_score_is_taken_and_the_decision_says_so(store, champion, many, by):
    run = write_score(
        store, "far", np.full(len(many), -20.0), many.bytes,
        digest=many.digest, experiment="playground",
    )  # fmt: skip
    decision = gate("far" if by == "name" else run, champion, many, max_kl=1e6)
    assert decision.candidate.origin == "named"
    assert decision.candidate.resolved == run
    said = f"The score of the candidate was named, as run {run} of the experiment 'playground'"
    assert any(notice.startswith(said) for notice in decision.notices)
    assert said in decision.paragraph
    assert "score of the reference was named" not in decision.paragraph


def test_what_was_requested_is_resolved_before_anything_is_scored(
    store, champion, candidate, many, monkeypatch
):
    client = mlflow.MlflowClient(store)
    for folder in (candidate, champion):
        with mlflow.start_run():
            log_model(folder, registered_model_name="tiny")
    client.set_registered_model_alias("tiny", "candidate", "1")
    client.set_registered_model_alias("tiny", "champion", "2")

    def score_and_move(*arguments, **options):
        client.set_registered_model_alias("tiny", "candidate", "2")
        client.set_registered_model_alias("tiny", "champion", "1")
        return made(*arguments, **options)

    made = reference_score.score_prepared
    monkeypatch.setattr(reference_score, "score_prepared", score_and_move)
    decision = gate(
        "models:/tiny@candidate", "models:/tiny@champion", many, max_kl=1e-6, tag_version=True
    )
    assert decision.verdict == "fail"
    written = json.loads(
        mlflow.artifacts.load_text(f"runs:/{decision.run_id}/modelmap/decision.json")
    )
    for role, version in (("candidate", "1"), ("reference", "2")):
        assert written[role]["requested"] == f"models:/tiny@{role.replace('reference', 'champion')}"
        assert written[role]["resolved"] == written[role]["model"] == f"models:/tiny/{version}"
    assert client.get_model_version("tiny", "1").tags["modelmap.gate"] == "fail"
    assert "modelmap.gate" not in client.get_model_version("tiny", "2").tags
    params = client.get_run(decision.run_id).data.params
    assert params["modelmap.candidate_resolved"] == "models:/tiny/1"


def test_a_vector_that_was_swapped_behind_its_run_is_noticed(store, champion, candidate, many):
    made = gate(candidate, champion, many, max_kl=1e-6)
    paths = [
        local_path(mlflow.get_run(one.run_id).info.artifact_uri)
        / "modelmap"
        / "log_likelihoods.parquet"
        for one in (made.candidate, made.reference)
    ]
    paths[0].write_bytes(paths[1].read_bytes())
    with pytest.raises(TrackingError, match=f"{made.candidate.run_id}.*another one than was"):
        gate(made.candidate.run_id, champion, many, max_kl=1e-6)
    anew = gate(candidate, champion, many, max_kl=1e-6)
    assert anew.candidate.scored_now, "what is not what was scored is no score"
    assert anew.candidate.run_id != made.candidate.run_id
    assert anew.verdict == "fail"


def test_a_vector_written_anew_in_another_order_is_the_same(store, champion, many):
    made = score(champion, many, layers=True)
    path = local_path(mlflow.get_run(made.run_id).info.artifact_uri) / "modelmap"
    path /= "log_likelihoods.parquet"
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    again = score(champion, many, layers=True)
    assert again.skipped
    assert np.array_equal(again.log_likelihoods, made.log_likelihoods)
