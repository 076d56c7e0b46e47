"""Scoring: one pass of texts through a model in memory, in batches that memory and range allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import torch

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.engine.batches import Batch, make_batch, plan
from mlflow_modelmap.scoring.engine.head import softmax_log_likelihoods
from mlflow_modelmap.scoring.engine.lens import check_lens, read_out
from mlflow_modelmap.scoring.engine.prove import TILED, WHOLE, HeadPath, check_causal, head_path
from mlflow_modelmap.scoring.engine.provenance import Provenance, provenance
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.load.quantization import int8_threshold
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.words.listed import listed

Progress: TypeAlias = Callable[[int, int], None]


class Scorer:
    """One pass over the texts: its settings, what it has found so far, what it went through.

    Attributes
    ----------
    values
        Log-likelihoods in nats, float64, shape (layers + 1 or 1, N); NaN where not scored yet.
    """

    def __init__(
        self,
        model: Any,
        tokens: TokenizedTexts,
        settings: ScoringSettings,
        precision: str,
        progress: Progress | None,
    ) -> None:
        self.model, self.tokens, self.settings = model, tokens, settings
        self.precision, self.progress = precision, progress
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.tail = Tail(model)
        self.outliers = int8_threshold(model) > 0
        self.budget = 1 if self.outliers else settings.batch_tokens
        self.path, layers = self._prepare()
        self.values = np.full((layers + 1 if settings.layers else 1, len(tokens)), np.nan)
        self.total, self.done = int(tokens.lengths.sum()), 0
        self.shrunk, self.seconds = 0, 0.0
        self.rounded = False

    def _prepare(self) -> tuple[HeadPath, int]:
        """Find the way to this model's logits, on the first tokens of two texts."""
        longest = np.argsort(-self.tokens.lengths, kind="stable")[:2]
        width = min(12, *(len(self.tokens.ids[i]) for i in longest))
        sample = np.stack([self.tokens.ids[i][:width] for i in longest])
        ids = torch.from_numpy(sample).to(self.tail.device)
        tolerance = 1e-3 if self.precision == "float32" else 5e-2
        if width > 1 and not self.outliers:
            check_causal(self.tail, ids, self.tail.vocabulary, tolerance)
        path = head_path(self.tail, ids)
        return path, check_lens(self.tail, ids) if self.settings.layers else 0

    def score(self, indices: Iterable[int]) -> None:
        """Fill in the values of some texts; smaller batches where memory runs out."""
        left = [int(i) for i in indices]
        started = time.perf_counter()
        while left:
            scored: set[int] = set()
            budget = 1 if self.path.kind == WHOLE else self.budget
            for texts in plan(self.tokens.lengths, left, budget):
                batch = make_batch(self.tokens.ids, texts, self.tokens.first)
                try:
                    self.values[:, texts] = self.of_batch(batch)
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    self._shrink(batch)
                    break
                scored.update(map(int, texts))
                self.done += int(self.tokens.lengths[texts].sum())
                if self.progress is not None:
                    self.progress(min(self.done, self.total), self.total)
            left = [i for i in left if i not in scored]
        self.seconds += time.perf_counter() - started

    def of_batch(self, batch: Batch) -> np.ndarray:
        """Log-likelihoods of a batch's texts, float64, shape (layers + 1 or 1, B)."""
        ids = torch.from_numpy(batch.ids).to(self.tail.device)
        rows = torch.from_numpy(batch.rows).to(self.tail.device)
        targets = torch.from_numpy(batch.targets).to(self.tail.device)
        if self.settings.layers:
            states = self.tail.layer_outputs(ids, rows)
            per_token = []
            while states:
                per_token.append(read_out(self.tail, self.path, states.pop(0), targets))
        elif self.path.kind == TILED and self.path.tiled is not None:
            hidden = self.tail.head_input(ids)
            kept = hidden.reshape(-1, hidden.shape[-1]).index_select(0, rows.to(hidden.device))
            del hidden
            per_token = [self.path.tiled.log_likelihoods(kept, targets)]
        elif self.path.kind == WHOLE:
            logits = self.tail.forward(ids)
            flat = logits.reshape(-1, logits.shape[-1])[rows.to(logits.device)]
            per_token = [softmax_log_likelihoods(flat, targets)]
        else:
            state = self.tail.layer_outputs(ids, rows, last_only=True)[0]
            per_token = [read_out(self.tail, self.path, state, targets)]
        count = len(batch.texts)
        return np.stack(
            [np.bincount(batch.owners, values.cpu().numpy(), count) for values in per_token]
        )

    def _shrink(self, batch: Batch) -> None:
        """Halve the budget after running out of memory; a single text cannot be halved."""
        if len(batch.texts) == 1:
            raise ScoringError(
                f"Memory ran out on text {int(batch.texts[0])} alone ({batch.ids.shape[1]} "
                "tokens); use a lower precision, device_map=auto or a machine with more memory."
            )
        self.budget = max(1, batch.ids.size // 2)
        self.shrunk += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def non_finite(self) -> list[int]:
        """Texts whose value is not finite, at any layer."""
        return [int(i) for i in np.flatnonzero(~np.isfinite(self.values).all(axis=0))]

    def retry_in_float32(self, indices: list[int]) -> None:
        """Score some texts again with the same weights in float32."""
        try:
            self.model.float()
            self.tail = Tail(self.model)
            self.path, _ = self._prepare()
            self.score(indices)
        except torch.OutOfMemoryError:
            raise self.failed(
                indices, f"in {self.precision}, and float32 does not fit into memory"
            ) from None
        still = self.non_finite()
        if still:
            raise self.failed(still, f"in {self.precision}, nor in float32")

    def failed(self, indices: list[int], tried: str) -> ScoringError:
        """The error that names the texts without a finite value."""
        error = ScoringError(
            f"The log-likelihood of text {listed(indices, 8)} is not finite {tried}; the "
            "model's weights or activations overflow."
        )
        error.not_finite = tuple(indices)
        return error

    def result(self, retried: int) -> ScoreResult:
        """What was found, and how."""
        return ScoreResult(
            log_likelihoods=self.values[-1].copy(),
            scored_tokens=self.tokens.scored,
            bytes=self.tokens.bytes,
            layer_log_likelihoods=self.values if self.settings.layers else None,
            provenance=self._provenance(retried),
        )

    def _provenance(self, retried: int) -> Provenance:
        facts = provenance(self.model, self.tokens, self.settings, self.precision, self.tail.device)
        return facts | {
            "dtype": self.dtype,
            "matmul_rounded": self.rounded,
            "batch_policy": "one text" if self.outliers else "length-sorted tokens",
            "batch_shrunk": self.shrunk,
            "retried": retried,
            "head": self.path.kind,
            "layers": len(self.values) - 1,
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(self.done / max(self.seconds, 1e-9), 1),
        }


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is memory running out, on an accelerator or (as PyTorch says) on CPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )
