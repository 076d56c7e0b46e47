"""Scoring: quantised copies by bitsandbytes, counted, and refused where nothing was quantised."""

from __future__ import annotations

import sys
from typing import Any

import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.model.stored_quantization import StoredQuantization
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.words.reason import reason

# What bitsandbytes' CPU kernels of 4-bit products need of a layer's shape.
CPU_OUT_MULTIPLE, CPU_IN_MULTIPLE = 32, 64


def check_bitsandbytes() -> None:
    """Raise one sentence where bitsandbytes is not installed or does not load."""
    try:
        import bitsandbytes  # noqa: F401
    except Exception as error:
        raise InputError(
            f"The precisions int8, nf4 and fp4 need bitsandbytes ({reason(error)}); install "
            "`mlflow-modelmap[quantization]`."
        ) from None


def quantization_config(precision: str, settings: ScoringSettings, dtype: torch.dtype) -> Any:
    """What transformers is told for ``int8``, ``nf4`` or ``fp4``."""
    from transformers import BitsAndBytesConfig

    if precision == "int8":
        return BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=float(settings.int8_threshold)
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=precision,
        bnb_4bit_use_double_quant=settings.double_quantization,
        bnb_4bit_compute_dtype=dtype,
    )


def quantised_layers(model: torch.nn.Module) -> int:
    """How many layers bitsandbytes holds in 8 or 4 bits.

    Raises
    ------
    ScoringError
        If it is none: the model would be scored as if it had been quantised.
    """
    import bitsandbytes as bnb

    kinds = (bnb.nn.Linear8bitLt, bnb.nn.Linear4bit)
    count = sum(
        isinstance(module, kinds) and module.weight.dtype in (torch.int8, torch.uint8)
        for module in model.modules()
    )
    if count == 0:
        raise ScoringError(
            f"bitsandbytes quantised no layer of this {type(model).__name__}, whose layers are not "
            "plain linear ones; score it in float32, bfloat16 or float16."
        )
    return count


def check_stored(model: Any, stored: StoredQuantization) -> None:
    """Raise one sentence unless a checkpoint that is stored quantised was loaded as such.

    Raises
    ------
    ScoringError
        If the library did not take it up: its codes would be taken for weights.
    """
    if stored.method == "gguf":
        return  # its reader refuses what it does not know
    if getattr(model, "hf_quantizer", None) is None:
        raise ScoringError(
            f"The model is stored quantised by {stored.method!r}, a method that transformers does "
            "not know here; install the version of transformers that it was saved with."
        )
    if stored.method == "bitsandbytes":
        quantised_layers(model)


def check_takes_adapters(path: str, stored: StoredQuantization) -> None:
    """Raise an InputError for a base whose quantised layers no adapter is put beside here."""
    if stored.method != "bitsandbytes":
        raise InputError(
            f"The base in {path!r} is stored quantised ({stored.precision}, by {stored.method}), "
            "over which adapters are not applied; give the model that it was made from as the base."
        )


def int8_threshold(model: torch.nn.Module) -> float:
    """The largest outlier threshold of a model's LLM.int8 layers; 0 where there are none."""
    if "bitsandbytes" not in sys.modules:
        return 0.0
    import bitsandbytes as bnb

    return max(
        (
            float(module.state.threshold)
            for module in model.modules()
            if isinstance(module, bnb.nn.Linear8bitLt)
        ),
        default=0.0,
    )


def check_shapes(shapes: dict[str, tuple[int, int]], precision: str, device: str) -> None:
    """Raise one sentence where a layer's shape does not fit bitsandbytes' 4-bit CPU kernels.

    Parameters
    ----------
    shapes
        (out_features, in_features) of each layer that would be quantised.
    """
    if precision == "int8" or device != "cpu":
        return
    for name, (outward, inward) in shapes.items():
        if outward % CPU_OUT_MULTIPLE or inward % CPU_IN_MULTIPLE:
            raise InputError(
                f"{precision} on CPU needs layers whose output is a multiple of "
                f"{CPU_OUT_MULTIPLE} and whose input is a multiple of {CPU_IN_MULTIPLE}; {name} "
                f"has {outward} and {inward}; use int8, or a CUDA device."
            )


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """(out_features, in_features) of the layers that bitsandbytes took up."""
    import bitsandbytes as bnb

    kinds = (bnb.nn.Linear8bitLt, bnb.nn.Linear4bit)
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    }
