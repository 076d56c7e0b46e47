"""Scoring: the next-token distributions of a model's layers against that of its last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.engine.batches import Batch
from mlflow_modelmap.scoring.engine.lens import REPLAY_ROWS
from mlflow_modelmap.scoring.engine.score_texts import check_knows_tokens, evaluating
from mlflow_modelmap.scoring.engine.scorer import Progress, Scorer
from mlflow_modelmap.scoring.exact.head_states import tiled_head
from mlflow_modelmap.scoring.exact.row_divergences import Workspace, row_divergences, rows_at_once
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.words.listed import listed

_QUANTITIES = ("forward", "reverse", "js", "agree")


@dataclass(frozen=True, eq=False)
class LayerDivergences:
    """What the logit lens says at L layers below the last, compared with the model itself.

    Attributes
    ----------
    tokens, bytes
        Scored positions and the UTF-8 bytes they cover of each text, int64, shape (N,).
    forward, reverse, js
        KL(last || layer), KL(layer || last) and Jensen-Shannon divergence, summed over the
        positions of each text, nats, float64, shape (L, N); layer 0 is the embeddings.
    agree
        At how many positions both find the same token likeliest, float64, shape (L, N).
    """

    tokens: np.ndarray
    bytes: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    js: np.ndarray
    agree: np.ndarray


class _Layers(Scorer):
    """One pass over the texts that reads out every layer."""

    def compare(self) -> LayerDivergences:
        self._head, self._work = tiled_head(self), Workspace()
        shape = len(self.values) - 1, len(self.pieces)
        self._sums = {name: np.full(shape, np.nan) for name in _QUANTITIES}
        self.score(range(len(self.tokens)))
        self._sums = {name: self.pieces.by_text(of) for name, of in self._sums.items()}
        self._check_finite()
        return LayerDivergences(self.tokens.scored, self.tokens.bytes, **self._sums)

    def of_batch(self, batch: Batch) -> np.ndarray:
        ids, rows, targets = self._on_device(batch)
        targets = targets.to(self._head.weight.device)
        *layers, last = self.tail.layer_outputs(ids, rows, cache=self.cache_of(batch))
        sums = np.zeros((len(_QUANTITIES), len(layers), len(batch.pieces)))
        block = min(REPLAY_ROWS, rows_at_once(len(self._head.weight), self._head.on_cpu))
        for start in range(0, len(targets), block):
            part = slice(start, start + block)
            owners = batch.owners[part]
            own = self._logits("last", last[part])
            of_layers = []
            for state in layers:
                read = self._logits("layer", state[part])
                found = row_divergences(own, read, targets[part], self._work)
                of_layers.append(torch.stack([getattr(found, name) for name in _QUANTITIES]))
            for layer, of_layer in enumerate(torch.stack(of_layers).cpu().double().numpy()):
                for number, values in enumerate(of_layer):
                    sums[number, layer] += np.bincount(owners, values, len(batch.pieces))
        for name, of_pieces in zip(_QUANTITIES, sums, strict=True):
            self._sums[name][:, batch.pieces] = of_pieces
        return np.vstack([sums[0], np.zeros(len(batch.pieces))])

    def let_go(self) -> None:
        work: Workspace | None = vars(self).get("_work")
        if work is not None:
            work.let_go()
        super().let_go()

    def _logits(self, name: str, states: torch.Tensor) -> torch.Tensor:
        """What the model's own tail makes of raw layer outputs (R, H), float32, shape (R, V)."""
        weight = self._head.weight
        out = self._work.get(name, len(states), len(weight), weight.device)
        return self._head.logits_into(self.tail.replay_head_input(states), out)

    def _check_finite(self) -> None:
        poor = ~np.isfinite(sum(self._sums.values()))
        if poor.any():
            texts = [int(i) for i in np.flatnonzero(poor.any(axis=0))]
            layers = [int(i) for i in np.flatnonzero(poor.any(axis=1))]
            raise ScoringError(
                f"Next-token distributions of text {listed(texts, 8)} are not finite at layer "
                f"{listed(layers, 8)} (weights or activations overflow); score the model in "
                "float32 or bfloat16, or go without exact."
            )


def compare_layers(
    model: Any,
    tokens: TokenizedTexts,
    settings: ScoringSettings,
    *,
    precision: str,
    progress: Progress | None = None,
) -> LayerDivergences:
    """Compare what each layer of a model says, by the logit lens, with what the model says.

    All layers come from one pass, batch by batch; beside the sums of texts nothing is kept.

    Parameters
    ----------
    model
        In memory; it is left as it was found.
    precision
        As `precision.resolve` says.

    Raises
    ------
    InputError
        If the model's head is no matrix product, or it has no list of decoder layers.
    ScoringError
        If its tail cannot be run alone, a distribution is not finite, or memory runs out on a
        single text.
    """
    check_knows_tokens(model, tokens)
    with_layers = settings.model_copy(update={"layers": True})
    with evaluating(model, own=True):
        return _Layers(model, tokens, with_layers, precision, progress).compare()
