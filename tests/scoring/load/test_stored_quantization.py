"""Checkpoints that are stored quantised: called what they are, and scored as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.load.precision import is_quantised, resolve
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.folder import local_files
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.scoring.settings import ScoringSettings
from tests import tiny


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny.make_model(
        tmp_path_factory.mktemp("plain"), "llama", hidden_size=64, intermediate_size=128
    )


@pytest.fixture(scope="module", params=["nf4", "int8"])
def stored(request, plain, tmp_path_factory):
    """A copy that bitsandbytes wrote, as people find it on the Hub."""
    path = tmp_path_factory.mktemp(request.param)
    options = (
        {"load_in_8bit": True, "llm_int8_threshold": 0.0}
        if request.param == "int8"
        else {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": torch.float32,
        }
    )
    model = AutoModelForCausalLM.from_pretrained(
        plain, quantization_config=BitsAndBytesConfig(**options), dtype=torch.float32
    )
    model.save_pretrained(path)
    tiny.make_tokenizer(path)
    return request.param, path


def test_it_is_called_what_it_is_and_scored_as_that(stored, plain, texts):
    precision, path = stored
    assert resolve(ScoringSettings(), read_config(path)) == (precision, "cpu")
    made = score_texts(local_files(path), texts, ScoringSettings())
    here = score_texts(local_files(plain), texts, ScoringSettings(precision=precision))
    np.testing.assert_allclose(made.log_likelihoods, here.log_likelihoods, atol=1e-2)
    assert made.provenance["precision"] == precision
    assert made.provenance["quantization"] == "bitsandbytes"
    assert made.provenance["quantised_layers"] == here.provenance["quantised_layers"]
    exact = score_texts(local_files(plain), texts, ScoringSettings())
    assert np.abs(made.log_likelihoods - exact.log_likelihoods).max() > 0.1


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "int8", "nf4", "fp4"])
def test_another_precision_cannot_be_had_of_it(stored, asked):
    precision, path = stored
    settings = ScoringSettings(precision=asked)
    if asked == precision:
        assert resolve(settings, read_config(path))[0] == precision
        return
    with pytest.raises(InputError, match=f"stored quantised \\({precision}.*{asked} cannot be had"):
        resolve(settings, read_config(path))


def test_a_stored_threshold_makes_texts_go_alone(plain, tmp_path, texts):
    model = AutoModelForCausalLM.from_pretrained(
        plain, quantization_config=BitsAndBytesConfig(load_in_8bit=True), dtype=torch.float32
    )
    model.save_pretrained(tmp_path)
    tiny.make_tokenizer(tmp_path)
    assert stored_quantization(read_config(tmp_path)).int8_threshold == 6.0
    made = score_texts(local_files(tmp_path), texts, ScoringSettings())
    assert made.provenance["batch_policy"] == "one text"
    assert made.provenance["int8_threshold"] == 6.0


def test_a_method_that_transformers_does_not_know_is_not_taken_for_weights(plain, tmp_path):
    import json
    import shutil

    shutil.copytree(plain, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = {"quant_method": "crystal", "bits": 3}
    path.write_text(json.dumps(config))
    assert resolve(ScoringSettings(), config)[0] == "crystal"
    with pytest.raises(ScoringError, match="crystal"):
        load_model(tmp_path / "model", "crystal", "cpu", ScoringSettings())


@pytest.mark.parametrize(
    ("said", "precision"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq-int4"),
        ({"quant_method": "awq", "bits": 4}, "awq-int4"),
        ({"quant_method": "awq", "w_bit": 4}, "awq-int4"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "quanto", "weights": "int4"}, "quanto-int4"),
        (
            {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 3}}},
            "hqq-int3",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "compressed-int4",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        (
            {
                "quant_method": "torchao",
                "quant_type": {
                    "default": {
                        "_data": {"granularity": {"_type": "PerRow"}},
                        "_type": "Int8WeightOnlyConfig",
                    }
                },
            },
            "torchao-int8weightonly",
        ),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "fp4"),
        ({"load_in_8bit": True, "llm_int8_threshold": "six"}, "int8"),
        ({"quant_method": "gptq", "bits": [4]}, "gptq"),
        ({"no": "method"}, "unknown"),
    ],
)
def test_what_configurations_say(said, precision):
    found = stored_quantization({"quantization_config": said})
    assert found is not None
    assert found.precision == precision
    assert is_quantised(found.precision)


@pytest.mark.parametrize("said", [None, {}, [], "nf4"])
def test_no_quantisation(said):
    assert stored_quantization({"quantization_config": said}) is None
