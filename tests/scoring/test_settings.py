"""Settings: every field of one kind wherever it is written, and a sentence for every other."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.request import PointFields
from mlflow_modelmap.scoring.settings import ScoringSettings


def test_they_are_values():
    settings = ScoringSettings(precision="nf4", double_quantization=True)
    assert settings == ScoringSettings(double_quantization=True, precision="nf4")
    assert hash(settings) == hash(copy.deepcopy(settings))
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own
    assert settings != ScoringSettings(precision="nf4")
    with pytest.raises(Exception, match="frozen"):
        settings.bos = "never"


def test_dataclasses_functions_go_on_working():
    settings = dataclasses.replace(ScoringSettings(), precision="int8", bos="never")
    assert settings == ScoringSettings(precision="int8", bos="never")
    assert dataclasses.asdict(settings) == settings.model_dump()
    names = [field.name for field in dataclasses.fields(settings)]
    assert names == list(ScoringSettings.model_fields)
    with pytest.raises(InputError, match="Unknown bos 'sometimes'"):
        dataclasses.replace(settings, bos="sometimes")


def test_another_precision_keeps_double_quantisation_only_with_four_bits():
    settings = ScoringSettings(precision="nf4", double_quantization=True, bos="never")
    assert settings.with_precision("fp4").double_quantization
    assert settings.with_precision("int8") == ScoringSettings(precision="int8", bos="never")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"precision": "int5"}, "Unknown precision 'int5'; choose one of auto, float32, .*fp4"),
        ({"layers": "yes"}, "layers is 'yes'; it must be true or false"),
        ({"layers": 1}, "layers is 1; it must be true or false"),
        ({"batch_tokens": "64"}, "batch_tokens is '64'; it must be a whole number"),
        ({"batch_tokens": 64.0}, "batch_tokens is 64.0; it must be a whole number"),
        ({"batch_tokens": True}, "batch_tokens is True; it must be a whole number"),
        ({"batch_tokens": 0}, "batch_tokens is 0; it must be 1 or more"),
        ({"int8_threshold": "6"}, "int8_threshold is '6'; it must be a number"),
        ({"int8_threshold": float("nan")}, "int8_threshold is nan; it must be finite"),
        ({"int8_threshold": -1.0}, "int8_threshold is -1.0; it must be 0 or more"),
        ({"device": 0}, "device is 0; it must be text"),
        ({"bos": None}, "Unknown bos None; choose one of auto, always, never"),
        ({"double_quantization": True}, "goes with precision nf4 or fp4, not 'auto'"),
        ({"batch_token": 64}, "knows no 'batch_token'; it takes engine, url,"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_sentence(wrong, said):
    with pytest.raises(InputError, match=said) as caught:
        ScoringSettings(**wrong)
    assert str(caught.value).count("\n") == 0


def test_whole_numbers_of_numpy_are_whole_numbers():
    settings = ScoringSettings(batch_tokens=np.int64(64), int8_threshold=6)
    assert settings == ScoringSettings(batch_tokens=64, int8_threshold=6.0)
    assert (type(settings.batch_tokens), type(settings.int8_threshold)) == (int, float)


def test_score_takes_every_setting_and_label_with_its_default():
    parameters = inspect.signature(mm.score).parameters
    for fields in (ScoringSettings.model_fields, PointFields.model_fields):
        for name, field in fields.items():
            assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
            assert parameters[name].default == field.default, name
