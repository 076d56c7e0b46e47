"""Where texts were read from is found among the runs that scored them."""

from __future__ import annotations

import mlflow

from mlflow_modelmap import TextSet
from mlflow_modelmap.tracking.runs.text_dataset import from_text_set
from mlflow_modelmap.tracking.runs.text_sources import text_sources


def test_each_source_of_these_texts_comes_once(store, texts):
    other = TextSet("other", ("another text",))
    runs = []
    for dataset in (  # MLflow keeps one source of a name and digest
        from_text_set(texts, name="in memory"),
        from_text_set(other, "elsewhere.json"),
        from_text_set(texts, "a.json"),
        from_text_set(texts, "a.json"),
        from_text_set(texts, "b.json", name="b"),
        mlflow.data.from_numpy(texts.bytes, source="c.npy", digest=texts.digest[:32]),
    ):
        with mlflow.start_run() as run:
            mlflow.log_input(dataset, context="scoring")
        runs.append(run.info.run_id)
    client = mlflow.MlflowClient(store)
    found = list(text_sources(["0" * 32, *runs], texts.digest, client))
    assert found == ["a.json", "b.json", "c.npy"]


def test_no_more_runs_are_asked_than_are_wanted(store, texts):
    asked = []

    class Counting(mlflow.MlflowClient):
        def get_run(self, run_id):
            asked.append(run_id)
            return super().get_run(run_id)

    with mlflow.start_run() as run:
        mlflow.log_input(from_text_set(texts, "a.json"))
    ids = [run.info.run_id, "1" * 32]
    assert next(text_sources(ids, texts.digest, Counting(store))) == "a.json"
    assert asked == ids[:1]
