"""Configurations that anybody may have written: read, or refused in one sentence."""

from __future__ import annotations

import json

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.scoring.model.config import brings_own_code, read_config
from mlflow_modelmap.scoring.model.weight_files import check_no_adapter, read_index
from mlflow_modelmap.scoring.model.weights_format import WEIGHTS_INDEX

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (DEEP, "cannot be read as JSON"),
        ('{"model_type": ' + DEEP + "}", "cannot be read as JSON"),
        ('{"model_type": ' + "9" * 5000 + "}", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        ("[]", "names no model_type"),
        ('{"model_type": 3}', "names no model_type"),
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path, written, said):
    (tmp_path / "config.json").write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_config(tmp_path)
    # Closed on doubt: what cannot be read may name code.
    assert brings_own_code(tmp_path) == (said == "cannot be read as JSON")


@pytest.mark.parametrize("written", [DEEP, '{"weight_map": ' + DEEP + "}", '{"weight_map": [1]}'])
def test_an_index_that_is_none_is_refused(tmp_path, written):
    (tmp_path / WEIGHTS_INDEX).write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=r"is no readable index of weights|cannot be read as JSON"):
        read_index(str(tmp_path))


def test_an_adapter_whose_configuration_is_damaged_is_an_adapter(tmp_path):
    (tmp_path / "adapter_config.json").write_text(DEEP, encoding="utf-8")
    with pytest.raises(InputError, match="is a PEFT adapter, which"):
        check_no_adapter(["adapter_config.json"], "the model", str(tmp_path))


def test_own_code_of_model_and_tokenizer_is_seen(tmp_path):
    assert not brings_own_code(tmp_path)
    for name in ("tokenizer_config.json", "config.json"):
        (tmp_path / name).write_text(json.dumps({"auto_map": {"AutoModel": "x.Y"}}))
        assert brings_own_code(tmp_path)
        (tmp_path / name).unlink()
