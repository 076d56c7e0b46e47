"""An independent way to the same numbers: float64, one text at a time, the full log-softmax."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.model.reference import ModelFiles, ModelReference
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer
from mlflow_modelmap.texts.text_set import TextSet


def files_in(path: str | Path) -> ModelFiles:
    """A model and its tokenizer in one directory."""
    return ModelFiles(ModelReference("local", str(path)), str(path), str(path), "sha256:0")


def score(path: str | Path, texts: TextSet, **settings: Any) -> ScoreResult:
    """The engine, on CPU."""
    return score_texts(files_in(path), texts, ScoringSettings(device="cpu", **settings))


def plain(model: Any, ids: Sequence[Sequence[int]], first: int = 1) -> np.ndarray:
    """Log-likelihoods of token rows, one at a time, by the model's own full logits."""
    import torch

    sums = []
    with torch.no_grad():
        for row in ids:
            tokens = torch.tensor([list(row)])
            scores = model(tokens, use_cache=False).logits.double().log_softmax(-1)
            picked = scores[0, :-1].gather(1, tokens[0, 1:, None])[first - 1 :]
            sums.append(float(picked.sum()))
    return np.array(sums)


def in_float64(path: str | Path, texts: TextSet, **changes: Any) -> np.ndarray:
    """Log-likelihoods by the whole model in float64; in float32 where it cannot be (experts)."""
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(path)
    ids = [tokenizer(text)["input_ids"] for text in texts.texts]
    model = AutoModelForCausalLM.from_pretrained(path, **changes).eval()
    try:
        return plain(model.double(), ids)
    except RuntimeError:
        model = AutoModelForCausalLM.from_pretrained(path, **changes).eval()
        return plain(model.float(), ids)
