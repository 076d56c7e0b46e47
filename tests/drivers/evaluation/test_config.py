"""An evaluator's configuration: every key of its kind, whatever notebook it comes from."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.evaluation.config import EvaluationConfig
from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.scoring.settings import ScoringSettings


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"step": "abc"}, "In evaluator_config: step is 'abc'; it must be a whole number"),
        ({"step": -1}, "step is -1; it must be 0 or more"),
        ({"layers": "yes"}, "layers is 'yes'; it must be true or false"),
        ({"progress": "no"}, "progress is 'no'; it must be true or false"),
        ({"batch_tokens": "64"}, "batch_tokens is '64'; it must be a whole number"),
        ({"bos": "sometimes"}, "Unknown bos 'sometimes'; choose one of auto, always, never"),
        ({"reference_precision": "int5"}, "Unknown reference_precision 'int5'"),
        ({"text_column": 3}, "text_column is 3; it must be text"),
        ({"refrence": "x"}, r"knows no 'refrence' .*it takes .*reference, .*precision, device"),
    ],
)
def test_what_is_wrong_is_refused_in_one_sentence(written, said):
    with pytest.raises(InputError, match=said):
        EvaluationConfig.of(written)


def test_what_is_said_arrives_as_settings():
    config = EvaluationConfig.of({"layers": True, "precision": "float32", "step": 3})
    assert config.settings == ScoringSettings(layers=True, precision="float32")
    assert config.step == 3
    assert EvaluationConfig.of({}).settings == ScoringSettings()


def test_it_takes_every_setting_and_label():
    assert set(ScoringSettings.model_fields) <= set(EvaluationConfig.model_fields)
    assert set(PointFields.model_fields) <= set(EvaluationConfig.model_fields)


def test_a_contradiction_is_refused():
    config = EvaluationConfig.of({"double_quantization": True})
    with pytest.raises(InputError, match="goes with precision nf4 or fp4"):
        config.settings  # noqa: B018
