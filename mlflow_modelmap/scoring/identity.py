"""Scoring (no torch here): the identity of a score, a hash of everything that goes into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from mlflow_modelmap.scoring.settings import ScoringSettings

ROUNDING_ONLY = (
    *("device_map", "batch_tokens", "noise", "safetensors_only", "unconditional"),
    *("concurrency", "requests_per_minute", "tensor_parallel", "agreement"),
)
"""Settings that change a number by no more than rounding, or not at all."""


def identity(
    commit: str,
    text_digest: str,
    precision: str,
    device_type: str,
    settings: ScoringSettings,
    labels: Mapping[str, str],
    text_weights: str | None = None,
    tokenizer: str | None = None,
    template: str = "auto",
) -> str:
    """SHA-256 (hex) of what a score is made from; the same one is not made twice.

    Settings at their default leave no trace, so that a setting that is added later changes no
    identity that there is.

    Parameters
    ----------
    commit
        Resolved commit, or content digest, of the model.
    text_digest
        Of the text set.
    precision, device_type
        As resolved (``float32``, ``cpu``): what ``auto`` came to, not that it was ``auto``.
    settings
        Everything else that could change a number.
    labels
        What the score is called (model, revision, trajectory, step, name): the same numbers under
        another name are another point of a map.
    text_weights
        Digest of the texts' weights, or None where they have none.
    tokenizer
        Digest of the tokenizer, where it is not the one beside the model.
    template
        The chat template that is asked for; of a file its digest.
    """
    # These count as resolved; address and name of a served model are its commit.
    resolved = {"precision", "device", "tokenizer", "template", "url", "served_model"}
    left_out = {*resolved, *ROUNDING_ONLY}
    content: dict[str, object] = {
        "commit": commit,
        "device": device_type,
        "labels": dict(labels),
        "precision": precision,
        "settings": settings.model_dump(exclude_defaults=True, exclude=left_out),
        "texts": text_digest,
    }
    if text_weights is not None:
        content["text_weights"] = text_weights
    if tokenizer is not None:
        content["tokenizer"] = tokenizer
    if template != "auto":
        content["template"] = template
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
