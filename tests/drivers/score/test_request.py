"""A request: what a point is called by default, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap import InputError, ModelReference, ScoringSettings
from mlflow_modelmap.drivers.score.request import Said, ScoreRequest, trajectory_of


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "model"),
        ({"step": 3}, "model step 3"),
        ({"step": 3, "trajectory": "t"}, "t step 3"),
        ({"settings": ScoringSettings(precision="int8")}, "model int8"),
        ({"name": "mine", "settings": ScoringSettings(precision="int8")}, "mine"),
    ],
)
def test_a_point_is_called_by_what_tells_it_apart(asked, name):
    assert ScoreRequest(reference=ModelReference.parse("org/model"), **asked).point_name == name


def test_a_step_of_a_hub_model_belongs_to_its_repository_s_training(tmp_path):
    hub = ModelReference.parse("org/model")
    assert trajectory_of(hub, 3) == "org/model"
    assert trajectory_of(hub, None) is None
    assert trajectory_of(ModelReference.parse(tmp_path), 3) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"step": -1}, "step is -1; it must be 0 or more"),
        ({"step": "3"}, "step is '3'; it must be a whole number"),
        ({"step": True}, "step is True; it must be a whole number"),
        ({"trajectory": 7}, "trajectory is 7; it must be text"),
    ],
)
def test_a_label_of_another_kind_is_refused(said, why):
    with pytest.raises(InputError, match=why):
        Said(**said)
    with pytest.raises(InputError, match=why):
        ScoreRequest(reference=ModelReference.parse("org/model"), **said)


def test_a_step_of_numpy_is_a_step():
    assert Said(step=np.int64(3)) == Said(step=3)
