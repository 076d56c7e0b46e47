"""Scoring: a causal language model from a local directory, with an adapter where there is one."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.accelerator.memory import out_of_memory
from mlflow_modelmap.scoring.load import quantization
from mlflow_modelmap.scoring.load.adapter import with_adapter
from mlflow_modelmap.scoring.load.loaded_base import BaseKey, LoadedBase, is_merged
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.scoring.load.unexpected import check_all_taken
from mlflow_modelmap.scoring.load.unpickle import tensors_of
from mlflow_modelmap.scoring.model.config import model_type, read_config, stored_dtype
from mlflow_modelmap.scoring.model.gguf_file import WEIGHTS as GGUF
from mlflow_modelmap.scoring.model.pickles import refuses_pickles
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.scoring.model.weight_files import (
    check_has_weights,
    check_no_adapter,
    weight_files,
)
from mlflow_modelmap.scoring.model.weights_format import PICKLE
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason

_ZERO3 = "_hf_deepspeed_config_weak_ref"
"""Where transformers keeps the configuration of a training with DeepSpeed."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' loading bars and advice, nor bitsandbytes' line per product."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("transformers", "bitsandbytes", "accelerate")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        if logger.level != logging.ERROR:  # else logging would forget what it knows of every logger
            logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            if logger.level != level:
                logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextlib.contextmanager
def _without_bars_of_gguf(reading: bool) -> Iterator[None]:
    """transformers' reader of GGUF files draws a bar whatever it was told."""
    if not reading:
        yield
        return
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def compute_dtype(precision: str, device: str, config: Mapping[str, Any]) -> torch.dtype:
    """The dtype of activations: of the precision itself, or that around quantised layers.

    On an accelerator these compute in bfloat16 where the model is stored so, for float16 may
    overflow; but GPTQ's and AWQ's kernels are made for float16.

    Parameters
    ----------
    config
        The content of the model's ``config.json``.
    """
    if not is_quantised(precision):
        return DTYPES[precision]
    if device == "cpu":
        return torch.float32
    stored = stored_quantization(config)
    half_only = stored is not None and stored.method in ("gptq", "awq")
    kept = stored_dtype(config) == "bfloat16" and not half_only
    return torch.bfloat16 if kept else torch.float16


def load_model(
    model_path: str | os.PathLike[str],
    precision: str,
    device: str,
    settings: ScoringSettings,
    adapter_path: str | None = None,
    *,
    held: tuple[LoadedBase, BaseKey | None] | None = None,
) -> Any:
    """The model in evaluation mode on its device.

    Parameters
    ----------
    adapter_path
        Directory of an adapter that is applied to it: merged in float32, unless it is quantised.
    precision, device
        As `precision.resolve` gives them: never ``auto``.
    held
        Where a base waits for the next of its adapters, and what this model is on.

    Raises
    ------
    InputError
        If the directory holds no causal language model, or one that the device cannot quantise.
    ScoringError
        If the weights are missing, incomplete or too large.
    """
    path = os.fspath(model_path)
    config = read_config(path)
    stored = stored_quantization(config)
    merged = adapter_path is not None and is_merged(path, precision)
    if adapter_path is not None and not merged and stored is not None:
        quantization.check_takes_adapters(path, stored)

    waits = held is not None and held[1] is not None and held[1] == held[0].expected
    straight = adapter_path is None and not waits and device.startswith("cuda")

    def read() -> Any:
        with _outside_zero3():
            return _read(path, precision, device, settings, merged, straight)

    model = read() if held is None else held[0].get(held[1], read)
    if adapter_path is not None:
        dtype = compute_dtype(precision, device, config) if merged else None
        with quiet_transformers(), _outside_zero3():
            model = with_adapter(
                model, adapter_path, dtype, None if held is None else held[0].before_change
            )
    if stored is not None:
        quantization.check_stored(model, stored)
    elif is_quantised(precision):
        quantization.check_shapes(quantization.shapes_of(model), precision, device.split(":")[0])
        quantization.quantised_layers(model)
    elif settings.device_map is None:
        try:
            model = model.to(device)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise _too_large(path, device) from None
    return model.eval()


@contextlib.contextmanager
def _outside_zero3() -> Iterator[None]:
    """Load a whole model in one process, although a training here spreads its own over several.

    While DeepSpeed's ZeRO-3 is configured transformers makes every model in collective operations,
    for which the other processes of the training would have to load it too.
    """
    module = sys.modules.get("transformers.integrations.deepspeed")
    kept = getattr(module, _ZERO3, None)
    if kept is None:
        yield
        return
    setattr(module, _ZERO3, None)
    try:
        yield
    finally:
        setattr(module, _ZERO3, kept)


def _too_large(path: str, device: str) -> ScoringError:
    return ScoringError(
        f"The model in {path!r} does not fit into the memory of {device}; use "
        "device_map=auto, a lower precision or another device."
    )


def _read(
    path: str,
    precision: str,
    device: str,
    settings: ScoringSettings,
    to_merge: bool,
    straight: bool,
) -> Any:
    """A model as it lies in a directory; in float32 if an adapter is to be merged into it.

    Its weights go `straight` to the device, or stay in memory for what is done to them first.
    """
    config = read_config(path)
    names = os.listdir(path)
    check_no_adapter(names, repr(path), path)
    of_gguf = GGUF in names
    refused = refuses_pickles(settings.safetensors_only)
    pickled = not of_gguf and check_has_weights(names, repr(path), refused) is PICKLE
    options: dict[str, Any] = {}
    if pickled:  # looked at before transformers reads them, by the same restricted unpickler
        tensors_of(path, weight_files(path, names, repr(path)), repr(path))
    dtype = compute_dtype(precision, device, config)
    if stored_quantization(config) is None and is_quantised(precision):
        with quiet_transformers():
            quantization.check_bitsandbytes()
        options["quantization_config"] = quantization.quantization_config(
            precision, settings, dtype
        )
    if settings.device_map is not None:
        options["device_map"] = settings.device_map
    elif is_quantised(precision) or straight:
        options["device_map"] = {"": device}
    try:
        with quiet_transformers(), _without_bars_of_gguf(of_gguf):
            model, info = _class_for(path, config, settings).from_pretrained(
                path,
                local_files_only=True,
                **({"gguf_file": GGUF} if of_gguf else {"use_safetensors": not pickled}),
                weights_only=True,
                trust_remote_code=settings.trust_remote_code,
                output_loading_info=True,
                **{_dtype_word(): torch.float32 if to_merge else dtype},
                **options,
            )
    except (InputError, ScoringError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise _too_large(path, device) from None
        raise ScoringError(f"The model in {path!r} cannot be loaded: {_told(error)}") from error
    _check_complete(path, info)
    return model


def _dtype_word() -> str:
    """transformers renamed ``torch_dtype`` in 4.56."""
    import transformers

    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    return "dtype" if (major, minor) >= (4, 56) else "torch_dtype"


def _class_for(path: str, config: dict[str, Any], settings: ScoringSettings) -> Any:
    """transformers' class for a causal language model of this configuration.

    One that reads pictures as well is scored on its text side.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    kind = model_type(config)
    own_code = "AutoModelForCausalLM" in (config.get("auto_map") or {})
    if (
        own_code
        and not settings.trust_remote_code
        and kind not in (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    ):
        raise InputError(
            f"The model in {path!r} brings its own code, which is not run unasked; read it, then "
            "allow it with trust_remote_code."
        )
    if _reads_pictures(config) and kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return AutoModelForImageTextToText
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not own_code:
        raise InputError(
            f"The model in {path!r} is a {kind}, which is no causal language model of "
            "transformers; only models that predict the next token have a log-likelihood here."
        )
    return AutoModelForCausalLM


def _reads_pictures(config: dict[str, Any]) -> bool:
    """Whether a configuration holds a part for pictures beside its text part."""
    return "vision_config" in config and not config.get("auto_map")


def _check_complete(path: str, info: dict[str, Any]) -> None:
    """Weights that a checkpoint lacks would be random numbers, and so would the scores."""
    missing = sorted(map(str, info.get("missing_keys") or ()))
    other = sorted(str(key[0]) for key in info.get("mismatched_keys") or ())
    for names, what in ((missing, "lack"), (other, "have another shape than the model for")):
        if names:
            raise ScoringError(
                f"The weights in {path!r} {what} {listed(names, 1, quoted=False)}; scores would "
                "come from random numbers."
            )
    check_all_taken(path, map(str, info.get("unexpected_keys") or ()))


def _told(error: BaseException) -> str:
    """What an error comes down to, and what caused it where that says more."""
    cause = error.__cause__
    if cause is not None and str(cause).strip():
        return f"{reason(error)} ({reason(cause)})."
    return f"{reason(error)}."
