"""Scoring: texts that half precision overflows on, once more with the same weights in float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.accelerator.memory import out_of_memory
from mlflow_modelmap.scoring.engine.scorer import Scorer
from mlflow_modelmap.words.listed import listed


def overflows_at_once(scorer: Scorer) -> bool:
    """Whether an accelerator gave nothing finite in the proof: going on in half is in vain."""
    return scorer.tail.device.type != "cpu" and not scorer.path.finite


def turn_to_float32(scorer: Scorer, texts: Sequence[int]) -> None:
    """Give the scorer's model the same weights in float32, for some texts or for all.

    Raises
    ------
    ScoringError
        If it does not fit into memory.
    """
    ran_out = False
    try:
        scorer.forget_path()
        with torch.inference_mode(False):
            scorer.model.float()
        scorer.find_path()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        ran_out = True
    if ran_out:
        raise not_finite(texts, f"in {scorer.precision}, and float32 does not fit into memory")
    scorer.notices = (overflowed(len(texts), scorer.dtype),)


def retry_in_float32(scorer: Scorer, texts: Sequence[int]) -> None:
    """Score some texts again with the same weights in float32.

    Raises
    ------
    ScoringError
        If that gives no finite value either, or does not fit into memory.
    """
    scorer.head_told = scorer.path.told(scorer.tail)  # of all the other texts
    turn_to_float32(scorer, texts)
    scorer.score(texts)
    still = scorer.non_finite()
    if still:
        raise not_finite(still, f"in {scorer.precision}, nor in float32")


def not_finite(texts: Sequence[int], tried: str) -> ScoringError:
    """The error that names the texts without a finite value."""
    error = ScoringError(
        f"The log-likelihood of text {listed(list(texts), 8)} is not finite {tried}; the "
        "model's weights or activations overflow."
    )
    error.not_finite = tuple(texts)
    return error


def overflowed(count: int, dtype: str) -> str:
    """What is said of texts whose values are not of the precision that the model was loaded in."""
    texts = "1 text was" if count == 1 else f"{count} texts were"
    return (
        f"{texts} scored in float32, because {dtype} overflows there; precision=float32 scores all "
        "texts alike."
    )
