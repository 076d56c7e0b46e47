"""Models are scored where they are not, and put on a map."""

from __future__ import annotations

import mlflow

from mlflow_modelmap import build_map, place_on_map, score


def test_a_model_is_scored_with_the_maps_texts_and_put_on_it(store, tiny_models, text_file):
    for seed in range(4):
        score(tiny_models(seed=seed), text_file, experiment="real", progress=False)
    parent = build_map(["real"], output_experiment="real")
    named = score(tiny_models(seed=4), text_file, experiment="real", progress=False)
    new = tiny_models(seed=5)
    made = place_on_map([new, named.name], parent.run_id)
    assert len(made.points) == 6
    of_all = build_map(["real"])
    a, b = made.points["point"].iloc[0], made.points["point"].iloc[4]
    assert abs(made.between(a, b).kl - of_all.between(a, b).kl) < 1e-12
    runs = mlflow.MlflowClient(store).search_runs([made.experiment_id])
    kinds = [run.data.tags["modelmap.kind"] for run in runs]
    assert (kinds.count("score"), kinds.count("map")) == (6, 2)
    assert made.experiment_id == parent.experiment_id
