"""All pages are asked for, whatever their size."""

from __future__ import annotations

import mlflow

from mlflow_modelmap.tracking.store.paging import every


def test_all_pages_are_asked_for_up_to_the_most_that_is_wanted(store):
    client = mlflow.MlflowClient(store)
    for number in range(6):
        client.create_experiment(f"e{number}")
    asked = []

    def ask(most, token):
        asked.append(most)
        return client.search_experiments(max_results=most, page_token=token)

    every_one = {f"e{number}" for number in range(6)} | {"test", "Default"}
    assert {experiment.name for experiment in every(ask, 3)} == every_one
    assert asked == [3, 3, 3]
    assert len(every(ask, 3, 5)) == 5
    assert len(every(ask, 3, 1)) == 1
    assert asked[3:] == [3, 2, 1]
