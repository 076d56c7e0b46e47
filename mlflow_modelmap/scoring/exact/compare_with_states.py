"""Scoring: the second model of an exact comparison, run against what was kept of the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.accelerator.copies import sent
from mlflow_modelmap.scoring.engine.batches import Batch
from mlflow_modelmap.scoring.engine.head import TiledHead
from mlflow_modelmap.scoring.engine.score_texts import check_knows_tokens, evaluating
from mlflow_modelmap.scoring.engine.scorer import Progress, Scorer
from mlflow_modelmap.scoring.engine.slices import head_rows
from mlflow_modelmap.scoring.exact.head_states import HeadStates, first_rows, rows_of, tiled_head
from mlflow_modelmap.scoring.exact.row_divergences import (
    RowDivergences,
    Workspace,
    row_divergences,
    rows_at_once,
)
from mlflow_modelmap.scoring.exact.token_divergences import TokenDivergences, TokenInContext
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.words.listed import listed

MOST = 20
"""Positions that are told one by one."""
CONTEXT = 32
_QUANTITIES = ("forward", "reverse", "js", "first", "second")


def compare_heads(
    first: tuple[TiledHead, torch.Tensor],
    second: tuple[TiledHead, torch.Tensor],
    targets: torch.Tensor,
    work: Workspace,
    vocabulary: int,
) -> RowDivergences:
    """Divergences between what two heads make of their inputs, over the first `vocabulary` tokens.

    Logits of a block of rows are all that there ever is; see `rows_at_once`.

    Parameters
    ----------
    first, second
        A head and its input (R, H).
    targets
        (R,), the tokens that follow.

    Returns
    -------
    RowDivergences
        Float64, on the second head's device.
    """
    device = second[0].weight.device
    block = rows_at_once(vocabulary, second[0].on_cpu)
    parts = []
    for start in range(0, len(targets), block):
        rows = slice(start, start + block)
        p, q = (
            head.logits_into(hidden[rows], work.get(name, len(hidden[rows]), vocabulary, device))
            for name, (head, hidden) in (("first", first), ("second", second))
        )
        parts.append(row_divergences(p, q, targets[rows].to(device), work))
    return RowDivergences(
        *(torch.cat([getattr(part, name) for part in parts]) for name in (*_QUANTITIES, "agree"))
    )


class _Compare(Scorer):
    """One pass of the second model over the texts that the first was run on."""

    def compare(self, states: HeadStates) -> TokenDivergences:
        self._states, self._starts = states, first_rows(self.pieces)
        self._head, self._work = tiled_head(self), Workspace()
        self._vocabulary = min(states.vocabulary, len(self._head.weight))
        total = int(self.tokens.scored.sum())
        self._found = {name: np.full(total, np.nan) for name in _QUANTITIES}
        self._agree = np.zeros(total, dtype=bool)
        # KL, row and head's input of the positions where the two differ most so far.
        self._most: list[tuple[float, int, torch.Tensor]] = []
        self.score(range(len(self.tokens)))
        self._check_finite()
        return TokenDivergences(
            tokens=self.tokens.scored,
            bytes=self.tokens.bytes,
            **self._found,
            agree=self._agree,
            most=tuple(self._told(*one) for one in self._most),
            vocabulary=self._vocabulary,
        )

    def of_batch(self, batch: Batch) -> np.ndarray:
        ids, rows, targets = self._on_device(batch)
        kept = head_rows(self.tail, ids, rows, self.cache_of(batch), self.body_tokens)
        where = rows_of(batch, self._starts)
        kept_rows = self._states.rows[torch.from_numpy(where)]
        other = sent(kept_rows, self._states.head.weight.device)
        found = compare_heads(
            (self._states.head, other),
            (self._head, kept),
            targets,
            self._work,
            self._vocabulary,
        )
        read = torch.stack([getattr(found, name) for name in (*_QUANTITIES, "agree")]).cpu()
        for name, values in zip(_QUANTITIES, read.double().numpy(), strict=False):
            self._found[name][where] = values
        self._agree[where] = read[-1].numpy() != 0
        self._remember(where, kept)
        return np.bincount(batch.owners, self._found["second"][where], len(batch.pieces))[None]

    def let_go(self) -> None:
        work: Workspace | None = vars(self).get("_work")
        if work is not None:
            work.let_go()
            self._states.head.let_go()
        super().let_go()

    def _remember(self, where: np.ndarray, hidden: torch.Tensor) -> None:
        forward = np.nan_to_num(self._found["forward"][where], nan=-1.0)
        best = np.argsort(-forward, kind="stable")[:MOST]
        inputs = hidden.detach()[torch.from_numpy(best).to(hidden.device)].cpu()
        fresh = [
            (float(forward[i]), int(where[i]), one.clone())
            for i, one in zip(best, inputs, strict=True)
        ]
        rows = {row for _, row, _ in fresh}
        held = [one for one in self._most if one[1] not in rows]
        self._most = sorted([*held, *fresh], key=lambda one: (-one[0], one[1]))[:MOST]

    def _told(self, forward: float, row: int, hidden: torch.Tensor) -> TokenInContext:
        piece = int(np.searchsorted(self._starts, row, side="right")) - 1
        text = int(self.pieces.texts[piece])
        position = row - int(first_rows(self.tokens)[text])
        ids, at = self.tokens.ids[text], int(self.tokens.starts[text]) + position
        states = self._states
        return TokenInContext(
            text=text,
            position=position,
            forward=forward,
            context=tuple(int(i) for i in ids[max(0, at - CONTEXT) : at]),
            token=int(ids[at]),
            first=_likeliest(states.head, states.rows[row : row + 1], self._vocabulary),
            second=_likeliest(self._head, hidden[None], self._vocabulary),
        )

    def _check_finite(self) -> None:
        poor = ~np.isfinite(sum(self._found.values()))
        if poor.any():
            owners = np.repeat(np.arange(len(self.tokens)), self.tokens.scored)
            texts = np.unique(owners[poor])
            raise ScoringError(
                f"Next-token distributions of text {listed([int(i) for i in texts], 8)} are not "
                "finite under both models (weights or activations overflow, or one rules a token "
                "out); compare them in float32 or bfloat16, or without exact."
            )


def compare_with_states(
    states: HeadStates,
    model: Any,
    tokens: TokenizedTexts,
    settings: ScoringSettings,
    *,
    precision: str,
    progress: Progress | None = None,
) -> TokenDivergences:
    """Compare a model that is in memory with what was kept of another; that one is A, this is B.

    Parameters
    ----------
    states
        From `keep_head_states`, on the same texts.
    tokens
        The texts under this model's own tokenizer.
    precision
        As `precision.resolve` says.

    Raises
    ------
    InputError
        If the two were not given the same tokens, or the model's head is no matrix product.
    ScoringError
        If a distribution is not finite, or memory runs out on a single text.
    """
    check_same_tokens(states.tokens, tokens)
    check_knows_tokens(model, tokens)
    with evaluating(model, own=True):
        return _Compare(model, tokens, settings, precision, progress).compare(states)


def check_same_tokens(first: TokenizedTexts, second: TokenizedTexts) -> None:
    """Refuse to compare positions that are not the same.

    Raises
    ------
    InputError
        It names the first text that is read differently.
    """
    own = (first.template, first.system_prompt), (second.template, second.system_prompt)
    if first.firsts is not None and own[0] != own[1]:
        raise InputError(
            "The two models read the responses behind other prompts (another template or system "
            "prompt), so that there is no exact KL divergence between the two; the second-order "
            "estimate is what there is."
        )
    if len(first) != len(second) or not np.array_equal(first.starts, second.starts):
        raise InputError(
            "The two models do not read the texts alike (one puts a BOS first, or they are "
            "others), so that their predictions are not of the same tokens; score both with the "
            "same bos."
        )
    for text, (one, other) in enumerate(zip(first.ids, second.ids, strict=True)):
        if not np.array_equal(one, other):
            raise InputError(
                f"The two tokenizers read text {text} differently ({len(one)} and {len(other)} "
                "tokens), so that there is no exact KL divergence between the two models; the "
                "second-order estimate is what there is."
            )


def _likeliest(
    head: TiledHead, hidden: torch.Tensor, vocabulary: int
) -> tuple[tuple[int, float], ...]:
    logits = head.logits(hidden.to(head.weight.device))[:, :vocabulary].double()
    top = torch.softmax(logits, dim=1).topk(min(3, vocabulary), dim=1)
    return tuple(
        (int(token), float(share))
        for token, share in zip(top.indices[0], top.values[0], strict=True)
    )
