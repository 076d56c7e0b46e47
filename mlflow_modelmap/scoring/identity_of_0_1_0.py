"""Scoring (no torch here): the identity that version 0.1.0 gave to scores, to find its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from mlflow_modelmap.scoring.identity import ROUNDING_ONLY
from mlflow_modelmap.scoring.settings import ScoringSettings

_SETTINGS = (
    *("precision", "device", "device_map", "batch_tokens", "bos", "overlong"),
    *("split_special_tokens", "matmul", "layers", "double_quantization", "int8_threshold"),
    "trust_remote_code",
)
"""All that there were, whether at their default or not; never to be changed."""
_BATCH_TOKENS = 2048
"""The default of `batch_tokens` then."""


def identity_of_0_1_0(
    commit: str,
    text_digest: str,
    precision: str,
    device_type: str,
    settings: ScoringSettings,
    labels: Mapping[str, str],
    text_weights: str | None = None,
) -> str | None:
    """What `identity` gave in version 0.1.0, with the same parameters.

    None where a setting that came later is not at its default: then 0.1.0 cannot have made it.
    """
    if settings.model_dump(exclude_defaults=True, exclude={*_SETTINGS, *ROUNDING_ONLY}):
        return None
    chosen = settings.model_dump(include=set(_SETTINGS))
    chosen.update(precision=precision, device=device_type)
    if chosen["batch_tokens"] is None:
        chosen["batch_tokens"] = _BATCH_TOKENS
    content: dict[str, object] = {
        "commit": commit,
        "labels": dict(labels),
        "settings": chosen,
        "texts": text_digest,
    }
    if text_weights is not None:
        content["text_weights"] = text_weights
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
