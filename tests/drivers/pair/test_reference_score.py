"""What a reference on a text set is: a run, a checkpoint, a name or a model."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import InputError, ScoringSettings, TextSet, compare, score
from mlflow_modelmap.drivers.pair.reference_score import reference_score
from mlflow_modelmap.numerics.divergence.kl import kl_between
from tests.logged import log_model
from tests.scored import write_score, write_training


@pytest.fixture
def made_up_run(store, texts):
    """A score of the texts that no model made, and its values."""
    values = np.random.default_rng(0).normal(-50, 5, len(texts))
    run_id = write_score(store, "made up", values, texts.bytes, digest=texts.digest)
    return run_id, values


def test_a_run_is_found_by_id_short_id_and_name(made_up_run, texts):
    run_id, values = made_up_run
    for reference in (run_id, run_id[:9], "made up"):
        found = reference_score(reference, texts)
        assert (found.run_id, found.name, found.scored_now) == (run_id, "made up", False)
        assert np.array_equal(found.log_likelihoods, values)
        assert np.array_equal(found.bytes, texts.bytes)
    expected = -values.sum() / texts.bytes.sum() / np.log(2)
    assert found.bits_per_byte == pytest.approx(expected)


def test_a_name_is_looked_up_in_the_whole_store(store, texts):
    values = np.full(len(texts), -20.0)
    run_id = write_score(
        store, "far", values, texts.bytes, digest=texts.digest, experiment="elsewhere"
    )
    assert reference_score("far", texts).run_id == run_id
    assert reference_score("far", texts, experiment="test").run_id == run_id


def test_names_on_other_texts_do_not_clash(made_up_run, store, texts):
    write_score(store, "made up", np.full(3, -20.0), np.full(3, 30), digest="a" * 64)
    assert reference_score("made up", texts).run_id == made_up_run[0]


def test_a_model_is_scored_once_and_found_again(store, tiny_model, texts, all_runs):
    first = reference_score(tiny_model, texts)
    again = reference_score(str(tiny_model), texts)
    assert (first.scored_now, again.scored_now) == (True, False)
    assert first.run_id == again.run_id
    assert np.array_equal(first.log_likelihoods, score(tiny_model, texts).log_likelihoods)
    assert len(all_runs()) == 1


def test_a_model_scored_in_another_experiment_is_found_if_that_is_trusted(
    store, tiny_model, texts, all_runs
):
    there = score(tiny_model, texts, experiment="elsewhere")
    trusted = {"trusted": ["elsewhere"]}
    found = reference_score(tiny_model, texts, **trusted)
    assert (found.run_id, found.origin) == (there.run_id, "found")
    assert (found.requested, found.resolved) == (str(tiny_model), str(tiny_model))
    other = ScoringSettings(overlong="truncate")
    assert reference_score(tiny_model, texts, settings=other, **trusted).run_id != there.run_id
    own = reference_score(tiny_model, texts)
    assert own.origin == "made"
    assert reference_score(tiny_model, texts, **trusted).run_id == own.run_id
    assert len(all_runs()) == 3


def test_a_reference_scored_within_a_run_is_no_child_of_it(store, tiny_model, texts, all_runs):
    with mlflow.start_run() as training:
        found = reference_score(tiny_model, texts)
        assert mlflow.active_run().info.run_id == training.info.run_id
    run = mlflow.get_run(found.run_id)
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.info.experiment_id == training.info.experiment_id
    assert run.info.status == "FINISHED"
    assert not mlflow.get_run(training.info.run_id).data.params


def test_a_reference_scored_in_a_project_s_process_leaves_its_run_alone(
    store, tiny_model, texts, monkeypatch
):
    client = mlflow.MlflowClient(store)
    given = client.create_run(client.create_experiment("project")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    found = reference_score(tiny_model, texts)
    assert found.experiment_id == client.get_experiment_by_name("project").experiment_id
    assert found.run_id != given
    assert "modelmap.kind" not in client.get_run(given).data.tags


def test_an_alias_is_the_version_it_stands_for(store, tiny_model, texts):
    with mlflow.start_run():
        log_model(tiny_model, registered_model_name="tiny")
    mlflow.MlflowClient(store).set_registered_model_alias("tiny", "champion", "1")
    by_alias = reference_score("models:/tiny@champion", texts)
    assert (by_alias.model, by_alias.revision) == ("models:/tiny/1", "1")
    assert reference_score("models:/tiny/1", texts).run_id == by_alias.run_id
    assert reference_score("models:/tiny/latest", texts).run_id == by_alias.run_id


def test_what_is_not_there_is_told_with_what_is(made_up_run, texts):
    with pytest.raises(InputError, match=r"'made-up' is neither a run.*such as 'made up'\.$"):
        reference_score("made-up", texts)
    with pytest.raises(InputError, match="No reference was given"):
        reference_score(" ", texts)
    with pytest.raises(InputError, match="There is no run"):
        reference_score("0" * 32, texts)
    with pytest.raises(InputError, match="no model 'models:/nobody@champion'"):
        reference_score("models:/nobody@champion", texts)


def test_a_checkpoint_of_a_monitored_training_is_a_reference(store, texts):
    random = np.random.default_rng(0)
    vectors = {step: random.normal(-50, 5, len(texts)) for step in (0, 10, 20)}
    training = write_training(store, "my training", vectors, texts.bytes, texts.digest)
    for reference, step in ((f"{training}@10", 10), (training, 20), ("my training step 0", 0)):
        found = reference_score(reference, texts)
        assert (found.run_id, found.step, found.name) == (
            training,
            step,
            f"my training step {step}",
        )
        assert np.array_equal(found.log_likelihoods, vectors[step])
    with pytest.raises(InputError, match=r"no score at step 7; there is 0, 10, 20\.$"):
        reference_score(f"{training}@7", texts)
    between = compare(f"{training}@0", f"{training}@20")
    assert between.kl == pytest.approx(kl_between(vectors[0], vectors[20], texts.mean_bytes)[0])


def test_a_step_that_a_run_does_not_have_is_refused(made_up_run, texts):
    with pytest.raises(InputError, match="no score at step 7; leave the step out"):
        reference_score(f"{made_up_run[0]}@7", texts)


@pytest.mark.parametrize("by", ["name", "id"])
def test_another_text_set_names_both_and_the_remedy(store, texts, by):
    run_id = write_score(store, "far", np.full(3, -20.0), np.full(3, 30), digest="a" * 64)
    with pytest.raises(InputError) as caught:
        reference_score("far" if by == "name" else run_id, texts)
    said = str(caught.value)
    assert "made-up texts (aaaaaaaaaaaa)" in said
    assert f"short texts ({texts.digest[:12]})" in said
    assert "score it on short texts" in said


def test_an_unfinished_run_is_refused(store, texts):
    run_id = write_score(
        store, "half", np.full(24, -9.0), texts.bytes, digest=texts.digest, status="RUNNING"
    )
    with pytest.raises(InputError, match="is running, not finished"):
        reference_score(run_id, texts)


def test_weights_of_the_text_set_count(made_up_run, texts):
    run_id, values = made_up_run
    weights = np.random.default_rng(2).uniform(0.2, 3.0, len(texts))
    weighted = TextSet(texts.name, texts.texts, weights=tuple(weights))
    found = reference_score(run_id, weighted)
    expected = -(weights @ values) / (weights @ texts.bytes) / np.log(2)
    assert found.bits_per_byte == pytest.approx(expected)
