"""From each layer to the next, over runs whose answers are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.drivers.study.layers import load_layers, study_layers
from mlflow_modelmap.errors import InputError
from tests.drivers.study.known import N, expected_kl


@pytest.mark.drawn
def test_layers_are_measured_from_each_to_the_next(write_run):
    generator = np.random.default_rng(3)
    layers = {k: -40 + (3 - k) * generator.normal(size=N) for k in range(3)}
    write_run("deep", layers[2], layers=layers, model_type="llama")
    write_run("flat", -40 + generator.normal(size=N))
    study = study_layers(["test"])
    assert study.profiles[["layer_from", "layer"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert study.profiles["kl"].tolist() == pytest.approx(
        [expected_kl(layers[0], layers[1]), expected_kl(layers[1], layers[2])]
    )
    assert any("1 runs without layers" in notice for notice in study.notices)
    assert len(load_layers(study.run_id).points) == 3


def test_runs_without_layers_are_refused_with_the_option_to_use(write_run):
    write_run("flat", -np.arange(1.0, 4.0))
    with pytest.raises(InputError, match="--layers"):
        study_layers(["test"])
