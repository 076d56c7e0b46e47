"""`mlflow.models.evaluate(..., evaluators="modelmap")`, called as people call it."""

from __future__ import annotations

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TextSet, build_map, compare, evaluable, score
from mlflow_modelmap.surfaces.evaluator import ModelMapEvaluator
from mlflow_modelmap.tracking.runs.text_dataset import from_text_set
from tests.logged import log_model


@pytest.fixture
def frame(texts):
    return pd.DataFrame({"text": texts.texts})


@pytest.fixture
def logged(store, tiny_model):
    """URI of a tiny model as mlflow.transformers logs it."""
    with mlflow.start_run():
        return log_model(tiny_model, registered_model_name="tiny").model_uri


@pytest.fixture
def in_memory(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return (
        AutoModelForCausalLM.from_pretrained(tiny_model),
        AutoTokenizer.from_pretrained(tiny_model),
    )


def evaluate(model, data, **config):
    return mlflow.models.evaluate(
        model, data, model_type="causal-lm", evaluators="modelmap", evaluator_config=config or None
    )


def test_a_logged_model_becomes_a_score_run_that_maps_take_up(
    logged, tiny_model, tiny_models, frame, texts
):
    result = evaluate("models:/tiny/1", frame, text_set_name="held out")
    run = mlflow.get_run(result.run_id)
    expected = score(tiny_model, texts)
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    assert tags["modelmap.kind"] == "score"
    assert tags["modelmap.model"].startswith("models:/m-")
    assert tags["modelmap.text_set"] == texts.digest
    assert tags["modelmap.text_set_name"] == "held out"
    assert tags["modelmap.precision"] == "float32"
    assert run.data.params["modelmap.batch_tokens"] == "2048"
    bits = result.metrics["modelmap/bits_per_byte"]
    assert bits == pytest.approx(expected.bits_per_byte)
    assert run.data.metrics["modelmap/bits_per_byte"] == pytest.approx(bits)
    assert 0 < result.metrics["modelmap/bits_per_byte_se"] < bits
    vector = result.artifacts["modelmap/log_likelihoods"].content
    assert np.array_equal(vector["log_likelihood"], expected.log_likelihoods)
    assert any(i.dataset.digest == texts.digest[:32] for i in run.inputs.dataset_inputs)
    other = score(tiny_models(seed=1), texts)
    assert compare(run.info.run_id, other.run_id).kl > 0
    made = build_map(run_ids=[run.info.run_id, other.run_id, expected.run_id])
    assert len(made.points) == 3


def test_the_logged_model_gets_the_metrics(logged, frame):
    result = evaluate(logged, frame)
    model_id = logged.partition("/")[2]
    metrics = {m.key: m.value for m in mlflow.get_logged_model(model_id).metrics}
    assert metrics["modelmap/bits_per_byte"] == pytest.approx(
        result.metrics["modelmap/bits_per_byte"]
    )


def test_a_reference_gives_kl_interval_and_words(logged, tiny_models, frame, texts):
    other = tiny_models(seed=1)
    result = evaluate(logged, frame, reference=str(other))
    found = compare(
        result.run_id, mlflow.get_run(result.run_id).data.tags["modelmap.reference_run"]
    )
    metrics = result.metrics
    assert (metrics["modelmap/kl"], metrics["modelmap/kl_se"]) == pytest.approx(
        (found.kl, found.se)
    )
    assert (metrics["modelmap/kl_low"], metrics["modelmap/kl_high"]) == pytest.approx(
        (found.low, found.high)
    )
    assert metrics["modelmap/bits_per_byte_difference"] == pytest.approx(
        found.a.bits_per_byte - found.b.bits_per_byte
    )
    run = mlflow.get_run(result.run_id)
    assert run.data.tags["modelmap.kl_in_words"] == found.words
    written = json.loads(
        mlflow.artifacts.load_text(f"{run.info.artifact_uri}/modelmap/comparison.json")
    )
    assert written == result.artifacts["modelmap/comparison"].content
    assert written["words"] == found.words
    reference = mlflow.get_run(written["reference_run_id"])
    assert "mlflow.parentRunId" not in reference.data.tags
    again = evaluate(logged, frame, reference=reference.info.run_id)
    assert again.metrics == pytest.approx(metrics)


def test_models_in_memory_give_the_same_numbers(store, in_memory, frame, texts, tiny_model):
    from transformers import pipeline

    model, tokenizer = in_memory
    expected = score(tiny_model, texts)
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
    for subject in (evaluable(model, tokenizer, name="mine"), evaluable(pipe), pipe):
        result = evaluate(subject, frame, reference=expected.run_id)
        assert result.metrics["modelmap/kl"] == pytest.approx(0, abs=1e-12)
        run = mlflow.get_run(result.run_id)
        assert run.data.tags["modelmap.model_type"] == "gpt_neox"
        assert run.data.tags["modelmap.precision"] == "float32"
    assert run.data.tags["modelmap.model"] == str(tiny_model)
    assert not model.training


def test_an_evaluable_is_a_function_of_texts(in_memory, tiny_model, texts, store, frame):
    wrapped = evaluable(*in_memory)
    expected = score(tiny_model, texts).log_likelihoods
    assert np.allclose(wrapped(frame), expected)
    assert np.allclose(wrapped(list(texts.texts)), expected)


def test_texts_come_in_every_form_of_mlflow(store, in_memory, texts, frame):
    model = evaluable(*in_memory)
    weights = tuple(np.linspace(0.5, 2, len(texts)))
    forms = {
        "list": list(texts.texts),
        "array": np.array(texts.texts)[:, None],
        "frame": frame.rename(columns={"text": "prompt"}),
        "pandas": mlflow.data.from_pandas(frame, name="a name"),
        "texts": from_text_set(texts),
        "weighted": from_text_set(TextSet("w", texts.texts, weights=weights)),
    }
    results = {
        form: evaluate(model, data, **({"text_column": "prompt"} if form == "frame" else {}))
        for form, data in forms.items()
    }
    runs = {form: mlflow.get_run(result.run_id) for form, result in results.items()}
    assert {run.data.tags["modelmap.text_set"] for run in runs.values()} == {texts.digest}
    assert runs["pandas"].data.tags["modelmap.text_set_name"] == "a name"
    assert runs["texts"].data.tags["modelmap.text_set_name"] == texts.name
    assert runs["list"].data.tags["modelmap.text_set_name"] == "evaluation"
    plain = results["list"].metrics["modelmap/bits_per_byte"]
    for form in ("array", "frame", "pandas", "texts"):
        assert results[form].metrics["modelmap/bits_per_byte"] == plain
    values = results["list"].artifacts["modelmap/log_likelihoods"].content["log_likelihood"]
    weighted = -(weights @ values) / (np.array(weights) @ texts.bytes) / np.log(2)
    assert results["weighted"].metrics["modelmap/bits_per_byte"] == pytest.approx(weighted)
    assert "weight" in results["weighted"].artifacts["modelmap/log_likelihoods"].content


def test_it_answers_to_its_model_type_only(store):
    for kind in (None, "classifier", "regressor", "text", "question-answering", "retriever"):
        assert not ModelMapEvaluator.can_evaluate(model_type=kind, evaluator_config={})
    assert ModelMapEvaluator.can_evaluate(model_type="causal-lm", evaluator_config={})
    data = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 1.0, 2.0, 3.5]})
    result = mlflow.models.evaluate(
        lambda rows: rows["x"].to_numpy(), data, targets="y", model_type="regressor"
    )
    assert not any(name.startswith("modelmap") for name in result.metrics)
    assert "modelmap.kind" not in mlflow.get_run(result.run_id).data.tags


def test_without_evaluators_it_runs_for_its_model_type(store, in_memory, frame):
    result = mlflow.models.evaluate(evaluable(*in_memory), frame, model_type="causal-lm")
    assert "modelmap/bits_per_byte" in result.metrics


def test_beside_other_evaluators_in_one_run(store, in_memory, frame):
    with mlflow.start_run() as run:
        mlflow.log_metric("bits_per_byte", 1.0)
        mlflow.log_param("batch_tokens", 7)
        result = mlflow.models.evaluate(
            evaluable(*in_memory),
            frame,
            model_type="causal-lm",
            evaluators=["default", "modelmap"],
            evaluator_config={"modelmap": {"bos": "never"}},
        )
    assert result.run_id == run.info.run_id
    run = mlflow.get_run(run.info.run_id)
    assert run.data.params["modelmap.bos"] == "never"
    assert run.data.params["batch_tokens"] == "7"
    assert run.data.metrics["bits_per_byte"] == 1.0
    assert run.info.status == "FINISHED"


def test_the_step_is_heard(store, in_memory, frame):
    result = evaluate(evaluable(*in_memory), frame, trajectory="mine", step=512)
    run = mlflow.get_run(result.run_id)
    assert run.data.tags["modelmap.step"] == "512"
    history = mlflow.MlflowClient().get_metric_history(result.run_id, "modelmap/bits_per_byte")
    assert {metric.step for metric in history} == {512}


def test_unknown_keys_are_refused_with_those_that_are_known(store, in_memory, frame):
    with pytest.raises(InputError, match=r"knows no 'refrence' .*it takes reference, .*precision"):
        evaluate(evaluable(*in_memory), frame, refrence="x")
    with pytest.raises(InputError, match="Unknown bos 'sometimes'"):
        evaluate(evaluable(*in_memory), frame, bos="sometimes")
    with pytest.raises(InputError, match="precision is 'int8', but the model is in memory"):
        evaluate(evaluable(*in_memory), frame, precision="int8")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pd.DataFrame({"prompt": ["a b c"]}), r"no column 'text' .*'prompt'.*text_column"),
        (pd.DataFrame({"text": ["a b c", " "]}), "Text 1 of .* is empty"),
        (pd.DataFrame({"text": ["a b c", None]}), "Text 1 of the data is missing"),
        (pd.DataFrame({"text": ["a b c", "a b c"]}), "Texts 0 and 1 of .* are the same"),
        (pd.DataFrame({"text": pd.Series([], dtype=object)}), "holds no texts"),
        (np.array([["a", "b"], ["c", "d"]]), "an array of 2 columns"),
    ],
)
def test_data_that_are_no_texts_are_refused(store, in_memory, data, said):
    with pytest.raises(InputError, match=said):
        evaluate(evaluable(*in_memory), data)
    assert "modelmap.kind" not in mlflow.search_runs(output_format="list")[0].data.tags


def test_models_that_give_no_log_likelihoods_are_refused(store, in_memory, frame):
    model, tokenizer = in_memory
    with pytest.raises(InputError, match="comes without a tokenizer"):
        evaluable(model)
    with pytest.raises(InputError, match="comes without a tokenizer"):
        evaluate(model, frame)
    with pytest.raises(InputError, match="A function gives no log-likelihoods"):
        evaluate(lambda rows: rows, frame)
    with pytest.raises(InputError, match="No model was given to evaluate"):
        evaluate(None, frame)
    with pytest.raises(InputError, match="A str is no causal language model"):
        evaluable("gpt2", tokenizer)


def test_a_model_of_another_flavour_is_refused(store, frame):
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input):
            return model_input

    with mlflow.start_run():
        uri = mlflow.pyfunc.log_model(
            name="echo", python_model=Echo(), pip_requirements=["mlflow"]
        ).model_uri
    with pytest.raises(InputError, match=r"was logged as python_function, not with mlflow\.tr"):
        evaluate(uri, frame)


def test_a_run_that_holds_a_score_or_a_training_gets_a_child(store, in_memory, texts, frame):
    from mlflow_modelmap import Monitor
    from mlflow_modelmap.tracking.runs.select_runs import select_runs

    for first in (
        lambda: evaluate(evaluable(*in_memory), frame),
        lambda: Monitor(texts, tokenizer=in_memory[1]).record(in_memory[0], 0),
    ):
        with mlflow.start_run() as outer:
            first()
            found = evaluate(evaluable(*in_memory), frame)
        client = mlflow.MlflowClient()
        (child,) = client.search_runs(
            [outer.info.experiment_id], f"tags.mlflow.parentRunId = '{outer.info.run_id}'"
        )
        assert (child.info.run_name, child.info.status) == ("evaluation", "FINISHED")
        assert child.data.tags["modelmap.kind"] == "score"
        assert child.data.metrics.items() >= found.metrics.items()
        assert select_runs(run_ids=[child.info.run_id])[0].bits_per_byte == pytest.approx(
            found.metrics["modelmap/bits_per_byte"]
        )


def test_a_reference_on_other_texts_leaves_no_score(store, in_memory, tiny_model, frame, texts):
    score(tiny_model, TextSet("others", texts.texts[:7]), name="seven")
    with pytest.raises(
        InputError, match=r"The reference 'seven' was scored on the text set others"
    ):
        evaluate(evaluable(*in_memory), frame, reference="seven")
    run = mlflow.search_runs(output_format="list", order_by=["start_time DESC"])[0]
    assert "modelmap.kind" not in run.data.tags
