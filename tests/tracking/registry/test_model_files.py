"""Models that MLflow keeps: found by every form of reference, and scored as their folder is."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import InputError, ModelReference
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.tracking.registry.model_files import files_in, logged_model_files
from tests.logged import log_model


@pytest.fixture
def registered(store, tiny_model):
    """A tiny model logged with mlflow.transformers, registered, with an alias; its run id."""
    with mlflow.start_run() as run:
        log_model(tiny_model, registered_model_name="tiny")
        mlflow.log_artifacts(str(tiny_model), "plain")
    mlflow.MlflowClient().set_registered_model_alias("tiny", "best", "1")
    return run.info.run_id


def test_every_reference_leads_to_the_same_scores(registered, tiny_model, texts):
    expected = score(tiny_model, texts, progress=False).log_likelihoods
    references = (
        "models:/tiny/1",
        "models:/tiny@best",
        "models:/tiny/latest",
        f"runs:/{registered}/model",
        f"runs:/{registered}/plain",
    )
    client = mlflow.MlflowClient()
    for reference in references:
        done = score(reference, texts, progress=False)
        assert np.array_equal(done.log_likelihoods, expected), reference
        tags = client.get_run(done.run_id).data.tags
        version = reference.startswith("models")
        assert tags["modelmap.model"] == ("models:/tiny/1" if version else reference)
        assert tags.get("modelmap.revision") == ("1" if version else None)
        assert score(reference, texts, progress=False).skipped


def test_the_tokenizer_is_the_one_that_was_logged(registered, tiny_model):
    files = logged_model_files(ModelReference.parse("models:/tiny/1"))
    assert files.tokenizer_path.endswith("components/tokenizer")
    assert files.model_path.endswith("model")
    assert files.commit.startswith("sha256:")
    assert (
        files.commit != logged_model_files(ModelReference.parse(f"runs:/{registered}/plain")).commit
    )


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("models:/nothing/1", "There is no model 'models:/nothing/1'"),
        ("models:/nothing@best", "There is no model"),
        ("models:/nothing/latest", "There is no model"),
        ("runs:/nope/model", "There (is no model|are no files)"),
    ],
)
def test_what_is_not_there_is_said(store, reference, said):
    with pytest.raises(InputError, match=said):
        logged_model_files(ModelReference.parse(reference))


def test_an_artifact_path_that_is_not_there_is_said(registered):
    with pytest.raises(InputError, match=r"There (is no model|are no files)"):
        logged_model_files(ModelReference.parse(f"runs:/{registered}/nothing"))


def test_what_is_no_transformers_model_is_said(store, tmp_path):
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    with mlflow.start_run() as run:
        mlflow.pyfunc.log_model(name="echo", python_model=Echo(), pip_requirements=[])
        mlflow.log_text("x", "folder/notes.txt")
    with pytest.raises(InputError, match=r"logged as python_function, not with mlflow\.trans"):
        logged_model_files(ModelReference.parse(f"runs:/{run.info.run_id}/echo"))
    with pytest.raises(InputError, match=r"it holds notes\.txt, but neither"):
        logged_model_files(ModelReference.parse(f"runs:/{run.info.run_id}/folder"))


@pytest.mark.parametrize(
    ("flavor", "said"),
    [
        ("transformers: {peft_adaptor: peft}", "logged as an adapter, but its folder 'peft'"),
        (
            "transformers: {source_model_name: org/name, source_model_revision: abc}",
            "mere pointer to 'org/name@abc'",
        ),
        ("transformers: {model_binary: weights}", "logged without a tokenizer"),
    ],
)
def test_half_a_model_is_said(store, tmp_path, flavor, said):
    folder = tmp_path / "half"
    (folder / "weights").mkdir(parents=True)
    (folder / "MLmodel").write_text(f"flavors:\n  {flavor}\n")
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "half")
        mlflow.log_text("", "half/weights/config.json")
    with pytest.raises(InputError, match=said):
        logged_model_files(ModelReference.parse(f"runs:/{run.info.run_id}/half"))


@pytest.mark.parametrize(
    "written",
    [
        "- a",
        "? [a]\n: b",
        "flavors: 3",
        "flavors: [transformers]",
        "flavors: {transformers: text}",
        "flavors: " + "[" * 5000 + "]" * 5000,
        "time: 2024-13-45",
        "\0",
    ],
)
def test_an_mlmodel_file_that_anybody_wrote_is_refused_in_one_sentence(tmp_path, written):
    (tmp_path / "MLmodel").write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=r"The MLmodel file of 'models:/m/1' cannot be read \("):
        files_in(tmp_path, ModelReference.parse("models:/m/1"))
