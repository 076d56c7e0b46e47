"""Scoring: which precision and device ``auto`` means here, decided without loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.config import stored_dtype
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.scoring.settings import ENDPOINT, LLAMA_CPP, TRANSFORMERS, ScoringSettings

HALF_PRECISIONS = ("bfloat16", "float16")
BITSANDBYTES = ("int8", "nf4", "fp4")
"""What the weights of a model can be turned into here."""
UNKNOWN = "unknown"
"""Precision of a model behind a server, where nobody says what its weights are."""
_PLAIN = ("auto", "float32", "float64", *HALF_PRECISIONS)


def is_quantised(precision: str | None) -> bool:
    """Whether weights of this precision are no plain numbers, whoever made them so."""
    return precision is not None and precision not in _PLAIN


def precision_in_memory(model: Any) -> str:
    """What the weights of a model in memory are, as `resolve` says it of one on disk."""
    stored = stored_quantization(model.config.to_dict())
    return str(model.dtype).removeprefix("torch.") if stored is None else stored.precision


def resolve(settings: ScoringSettings, config: Mapping[str, Any]) -> tuple[str, str]:
    """Precision and device as they will be used, for example ``("float32", "cpu")``.

    Of a model behind a server the precision is what the user says of it.

    Parameters
    ----------
    settings
        Only `engine`, `precision`, `device` and `device_map` matter here.
    config
        The content of the model's ``config.json`` (see `config.read_config`).

    Raises
    ------
    InputError
        If the device is unknown or not on this machine, or does not go with the precision; or if
        another precision is asked for than the one in which the weights are stored quantised.
    """
    precision = settings.precision
    if settings.engine == ENDPOINT:
        return (UNKNOWN if precision == "auto" else precision), ENDPOINT
    device = resolve_device(settings)
    stored = stored_quantization(config)
    if stored is not None:
        doubled = settings.double_quantization and not stored.double
        if precision not in ("auto", stored.precision) or doubled:
            asked = "double_quantization" if doubled else precision
            raise InputError(
                f"The model is stored quantised ({stored.precision}, by {stored.method}) and is "
                f"scored as it is: {asked} cannot be had of it; leave the precision at auto, or "
                "score the model that it was made from."
            )
        precision = stored.precision
    elif precision == "auto":
        dtype = stored_dtype(config)
        as_stored = device != "cpu" or settings.engine != TRANSFORMERS
        precision = dtype if as_stored and dtype in HALF_PRECISIONS else "float32"
    elif settings.engine == LLAMA_CPP and precision != (stored_dtype(config) or "float32"):
        raise InputError(
            f"llama.cpp scores weights as they are stored ({stored_dtype(config)}), not "
            f"{precision}; leave the precision at auto."
        )
    if precision in BITSANDBYTES and device.split(":")[0] not in ("cpu", "cuda"):
        raise InputError(
            f"bitsandbytes has no {precision} on {device}; use the device cpu or cuda."
        )
    return precision, device


def resolve_device(settings: ScoringSettings) -> str:
    """``cpu``, ``cuda``, ``cuda:1`` or ``mps``, checked to be there."""
    wanted = settings.device
    if wanted == "cpu":
        return "cpu"
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, index = wanted.partition(":")
    if kind not in ("cuda", "mps") or (colon and not index.isdecimal()):
        raise InputError(
            f"Unknown device {wanted!r}; choose one of auto, cpu, cuda, cuda:1, ..., mps."
        )
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("The device mps was asked for, but this machine has none; use cpu.")
        return wanted
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise InputError(
            f"The device {wanted!r} was asked for, but PyTorch sees no CUDA device here; use the "
            "device cpu, or install a CUDA build of PyTorch on a machine with a GPU."
        )
    if index and int(index) >= count:
        raise InputError(
            f"The device {wanted!r} was asked for, but there are only {count} CUDA devices; "
            f"choose cuda:0 to cuda:{count - 1}."
        )
    return wanted


def gpus() -> int:
    """How many CUDA devices this process sees."""
    import torch

    return torch.cuda.device_count()
