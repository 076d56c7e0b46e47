"""Scoring: the logit lens, every layer's output read out by the model's own tail."""

from __future__ import annotations

import torch

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.engine.head import softmax_log_likelihoods
from mlflow_modelmap.scoring.engine.prove import TILED, HeadPath, replays
from mlflow_modelmap.scoring.engine.tail import Tail

# Logits that a replayed tail may make at once: 64 MB of float32.
REPLAY_LOGITS = 16 * 2**20
REPLAY_ROWS = 2048


def check_lens(tail: Tail, ids: torch.Tensor) -> int:
    """Number of decoder layers, once the replayed tail has given the model's own logits.

    Raises
    ------
    InputError
        If the model has no list of decoder layers.
    ScoringError
        If its tail cannot be replayed.
    """
    layers = tail.layer_count
    if not replays(tail, ids):
        raise ScoringError(
            f"The end of this {type(tail.model).__name__} cannot be run on a layer's output alone, "
            "so that its layers cannot be scored one by one; score it without layers."
        )
    return layers


def read_out(
    tail: Tail, path: HeadPath, state: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Log-likelihood of each target under the tail replayed on one layer's raw output.

    Parameters
    ----------
    state
        (R, H), a layer's raw output at the scored positions.
    targets
        (R,), the tokens that follow.

    Returns
    -------
    torch.Tensor
        Nats, float64, shape (R,).
    """
    if path.kind == TILED and path.tiled is not None:
        return torch.cat(
            [
                path.tiled.log_likelihoods(tail.replay_head_input(rows), wanted)
                for rows, wanted in zip(
                    state.split(REPLAY_ROWS), targets.split(REPLAY_ROWS), strict=True
                )
            ]
        )
    rows = max(1, REPLAY_LOGITS // tail.vocabulary)
    return torch.cat(
        [
            softmax_log_likelihoods(tail.replay(part), wanted)
            for part, wanted in zip(state.split(rows), targets.split(rows), strict=True)
        ]
    )
