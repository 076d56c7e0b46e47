"""Scoring: which precision and device ``auto`` means here, decided without loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.config import stored_dtype
from mlflow_modelmap.scoring.settings import ScoringSettings

HALF_PRECISIONS = ("bfloat16", "float16")
QUANTISED = ("int8", "nf4", "fp4")


def resolve(settings: ScoringSettings, config: Mapping[str, Any]) -> tuple[str, str]:
    """Precision and device as they will be used, for example ``("float32", "cpu")``.

    Parameters
    ----------
    settings
        Only `precision`, `device` and `device_map` matter here.
    config
        The content of the model's ``config.json`` (see `config.read_config`).

    Raises
    ------
    InputError
        If the device is unknown or not on this machine, or does not go with the precision.
    """
    device = resolve_device(settings)
    precision = settings.precision
    if precision == "auto":
        stored = stored_dtype(config)
        precision = stored if device != "cpu" and stored in HALF_PRECISIONS else "float32"
    if precision in QUANTISED and device.split(":")[0] not in ("cpu", "cuda"):
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
