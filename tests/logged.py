"""Tiny models as `mlflow.transformers` logs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import mlflow


def log_model(folder: str | Path, **options: Any) -> Any:
    """Log a model and its tokenizer into the active run; the model's info comes back.

    MLflow asks the Hub for a description of the model, and where there is no network waits for it.
    """
    from huggingface_hub import constants
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parts = {
        "model": AutoModelForCausalLM.from_pretrained(folder),
        "tokenizer": AutoTokenizer.from_pretrained(folder),
    }
    about = {"name": "model", "task": "text-generation", "pip_requirements": ["transformers"]}
    with mock.patch.object(constants, "HF_HUB_OFFLINE", True):
        return mlflow.transformers.log_model(parts, **{**about, **options})
