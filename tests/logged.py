"""Tiny models as `mlflow.transformers` logs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow


def log_model(folder: str | Path, **options: Any) -> Any:
    """Log a model and its tokenizer into the active run; the model's info comes back."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parts = {
        "model": AutoModelForCausalLM.from_pretrained(folder),
        "tokenizer": AutoTokenizer.from_pretrained(folder),
    }
    return mlflow.transformers.log_model(
        parts,
        **{
            "name": "model",
            "task": "text-generation",
            "pip_requirements": ["transformers"],
            **options,
        },
    )
