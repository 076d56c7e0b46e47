"""Scoring: where a score comes from - model, precision, device, versions - as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import torch

from mlflow_modelmap.scoring.load.precision import BITSANDBYTES, is_quantised
from mlflow_modelmap.scoring.load.quantization import int8_threshold, quantised_layers
from mlflow_modelmap.scoring.model.adapter import weights_format_of
from mlflow_modelmap.scoring.model.folder import tokenizer_digest
from mlflow_modelmap.scoring.model.gguf_file import METHOD as GGUF
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts

NOTICES = "notices"
"""What whoever scored is told of it, a JSON list of sentences; studies have it by the same name."""
Provenance: TypeAlias = dict[str, str | int | float | bool]


def provenance(
    model: Any,
    tokens: TokenizedTexts,
    settings: ScoringSettings,
    precision: str,
    device: torch.device,
) -> Provenance:
    """What can be said of a score but for how its pass over the texts went, for a run's params.

    Parameters
    ----------
    model
        In memory, as it was scored.
    precision
        What was loaded.
    device
        Where the model took its tokens.
    """
    import transformers

    facts: Provenance = {
        "precision": precision,
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "device_map": settings.device_map or "",
        "matmul": settings.matmul if device.type == "cpu" else "native",
        **of_tokens(tokens, settings),
        "model_type": str(model.config.model_type),
        "attention": str(getattr(model.config, "_attn_implementation", "") or ""),
        "parameters": _parameters(model),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }
    if tokens.notices:
        facts[NOTICES] = said_notices(tokens.notices)
    if is_quantised(precision):
        facts |= _of_quantised(model)
    if precision in BITSANDBYTES:
        import bitsandbytes

        facts["bitsandbytes"] = bitsandbytes.__version__
        facts["quantised_layers"] = quantised_layers(model)
        if precision == "int8":
            facts["int8_threshold"] = int8_threshold(model)
        else:
            facts["double_quantization"] = bool(
                getattr(_quantization_config(model), "bnb_4bit_use_double_quant", False)
            )
    return facts


def of_tokens(tokens: TokenizedTexts, settings: ScoringSettings) -> Provenance:
    """How the texts were read, whatever computed the rest."""
    return {
        "bos": settings.bos,
        "bos_applied": tokens.bos_applied,
        "overlong": settings.overlong,
        "truncated": len(tokens.truncated),
        "window_tokens": tokens.window or "",
        "stride": tokens.stride or "",
        "split_special_tokens": settings.split_special_tokens,
        **tokens.facts,
    }


def said_notices(notices: Iterable[str]) -> str:
    """The value of `NOTICES`."""
    return json.dumps(list(notices))


def _of_quantised(model: Any) -> Provenance:
    """By which method the weights are quantised, and whether they were made plain numbers again."""
    config = _quantization_config(model)
    method = getattr(config, "quant_method", None)
    facts: Provenance = {"quantization": str(getattr(method, "value", method) or "")}
    if getattr(config, "dequantize", False):
        facts["dequantized"] = True
    return facts


def _quantization_config(model: Any) -> Any:
    return getattr(getattr(model, "hf_quantizer", None), "quantization_config", None)


def origin(files: ModelFiles, precision: str) -> Provenance:
    """What can be said of the files that a model was loaded from."""
    facts: Provenance = {"weights_format": weights_format_of(files)}
    if files.tokenizer_path != files.model_path or files.served is not None:
        facts["tokenizer_digest"] = tokenizer_digest(files.tokenizer_path)
    if files.adapter is not None:
        import peft

        facts["peft"] = peft.__version__
        facts["adapter_merged"] = facts["weights_format"] == GGUF or not is_quantised(precision)
    return facts


def _parameters(model: Any) -> int:
    """Parameters of the model, each counted once and as before quantisation."""
    count = 0
    for parameter in model.parameters():
        shape = getattr(getattr(parameter, "quant_state", None), "shape", parameter.shape)
        count += int(np.prod(tuple(shape)))
    return count
