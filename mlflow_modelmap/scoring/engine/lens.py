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
STACKED_ROWS = 16_384
"""Rows of an accelerator's replay, of several layers where a batch has fewer."""


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
    with path.logits_as_they_are(tail):
        return torch.cat(
            [
                softmax_log_likelihoods(tail.replay(part), wanted)
                for part, wanted in zip(state.split(rows), targets.split(rows), strict=True)
            ]
        )


def read_out_stacked(
    tail: Tail, path: HeadPath, states: list[torch.Tensor], targets: torch.Tensor
) -> torch.Tensor:
    """`read_out` of all layers on an accelerator: the rows of many of them in one replay.

    Parameters
    ----------
    states
        L raw outputs, each (R, H); the list is emptied, so that their memory can be used again.

    Returns
    -------
    torch.Tensor
        Nats, shape (L, R).
    """
    together = max(1, STACKED_ROWS // max(1, len(targets)))
    last = states[-1].device
    found = []
    while states:
        taken = [states.pop(0).to(last) for _ in range(min(together, len(states)))]
        rows = taken[0] if len(taken) == 1 else torch.cat(taken)
        count = len(taken)
        del taken
        wanted = targets.repeat(count)
        if path.kind == TILED and path.tiled is not None:
            parts = zip(rows.split(STACKED_ROWS), wanted.split(STACKED_ROWS), strict=True)
            found += [
                path.tiled.log_likelihoods(tail.replay_head_input(part), some)
                for part, some in parts
            ]
        else:
            found.append(read_out(tail, path, rows, wanted))
    return torch.cat(found).view(-1, len(targets))
