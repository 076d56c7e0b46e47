"""Scoring: one pass of texts through a model in memory, in batches that memory and range allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.accelerator.batch_size import FirstBatch, wanted_tokens
from mlflow_modelmap.scoring.accelerator.copies import Late, LateReader, to_device
from mlflow_modelmap.scoring.accelerator.memory import give_back, out_of_memory
from mlflow_modelmap.scoring.accelerator.products import products_in_force
from mlflow_modelmap.scoring.engine.batches import Batch, make_batch
from mlflow_modelmap.scoring.engine.company import ALONE, ANY, Company, by_positions, proved
from mlflow_modelmap.scoring.engine.head import softmax_log_likelihoods
from mlflow_modelmap.scoring.engine.lens import check_lens, read_out, read_out_stacked
from mlflow_modelmap.scoring.engine.prompt_cache import behind, read_prompts
from mlflow_modelmap.scoring.engine.prove import TILED, WHOLE, HeadPath, check_causal, head_path
from mlflow_modelmap.scoring.engine.provenance import NOTICES, Provenance, provenance, said_notices
from mlflow_modelmap.scoring.engine.rows_apart import beginnings, rows_are_apart
from mlflow_modelmap.scoring.engine.shared_prompts import SharedPrompts, agree, shared_prompts
from mlflow_modelmap.scoring.engine.slices import body_tokens_of, head_rows, layer_rows
from mlflow_modelmap.scoring.engine.tail import Tail
from mlflow_modelmap.scoring.load.quantization import int8_threshold
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts
from mlflow_modelmap.scoring.tokenizer.windows import Pieces

WITH_EACH = "with each response"
"""How prompts are read, unless once for several responses."""
Progress: TypeAlias = Callable[[int, int], None]


class Scorer:
    """One pass over the texts: its settings, what it has found so far, what it went through.

    Attributes
    ----------
    pieces
        The P texts and windows of texts that go through the model.
    company
        Which of them may share a batch.
    shared
        What several of them begin with, where it is read once.
    body_tokens
        How many of a batch's tokens go through the body at once; None for all.
    head_told
        How the head was computed for all texts but those that are scored again in float32.
    """

    def __init__(
        self,
        model: Any,
        tokens: TokenizedTexts,
        settings: ScoringSettings,
        precision: str,
        progress: Progress | None,
        share: bool = True,
    ) -> None:
        self.model, self.tokens, self.settings = model, tokens, settings
        self.pieces = tokens.pieces
        self.precision, self.progress = precision, progress
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.tail = Tail(model)
        self.outliers = int8_threshold(model) > 0
        self.batch_tokens = wanted_tokens(settings.batch_tokens, self.tail.device)
        self.budget = 1 if self.outliers else self.batch_tokens
        self.body_tokens = body_tokens_of(model, self.tail.device.type)
        self._first = FirstBatch.of(model) if settings.batch_tokens is None else None
        self.path, layers = self._prepare()
        self._of_pieces = np.full((layers + 1 if settings.layers else 1, len(self.pieces)), np.nan)
        self._lengths = self.pieces.lengths
        self.total, self.done = int(self._lengths.sum()), 0
        self.shrunk, self.seconds = 0, 0.0
        self.head_told: dict[str, str] | None = None
        self.notices: tuple[str, ...] = ()
        self.rounded = False
        self.products: dict[str, str | bool] = {}
        self._prove_company()
        self._read_once: tuple[np.ndarray, Any] | None = None
        self.shared: SharedPrompts | None = None
        self.prompts = WITH_EACH
        if share:
            self._prove_prompts()

    @property
    def values(self) -> np.ndarray:
        """Log-likelihoods in nats, float64, shape (layers + 1 or 1, N); NaN where not scored."""
        return self.pieces.by_text(self._of_pieces)

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

    def _prove_company(self) -> None:
        """Find which pieces may share a batch, on a few of them.

        At their own lengths, unless every part of the model is known; see `rows_apart`.
        """
        self.company, self._remembers = by_positions(self.model.config)
        if self.outliers:
            self.company = ALONE
            return
        short = beginnings(self.pieces) if rows_are_apart(self.model) else []
        if len(short) > 1 and self._proved(short, 1) == self.company:
            return
        self.company = self._proved(self.pieces, self.pieces.firsts)

    def _proved(self, pieces: Sequence[np.ndarray] | Pieces, firsts: int | np.ndarray) -> Company:
        """The company in which some pieces read as each does alone."""

        def read(which: np.ndarray) -> list[np.ndarray]:
            return self._read(make_batch(pieces, which, firsts))

        lengths = np.array([len(pieces[i]) for i in range(len(pieces))])
        budget = 1 if self.path.kind == WHOLE else self.budget
        while True:
            try:
                return proved(
                    self.company, self.model.config, lengths, budget, read, self.precision
                )
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error) or budget == 1:
                    raise
            self.let_go()
            budget //= 2

    def _prove_prompts(self) -> None:
        """Find whether prompts that responses share can be read once, on a few of them."""
        if self.tokens.firsts is None or self.company != ANY or self.path.kind == WHOLE:
            return
        found = shared_prompts(self.pieces)
        if found is None:
            return
        exact = self.precision in ("float32", "float64")
        try:
            agrees = agree(found, self.pieces, self._read, exact)
        except Exception as error:
            if out_of_memory(error):
                self.prompts = f"{WITH_EACH}: memory ran out"
                return
            agrees = False  # no cache, or one of another kind
        finally:
            self._read_once = None
        if agrees:
            self.shared, self.prompts = found, f"once: {found.saved} tokens saved"
        else:
            self.prompts = f"{WITH_EACH}: no cache of the model gives the same values"

    def _read(self, batch: Batch) -> list[np.ndarray]:
        """Log-likelihoods of the tokens of each piece of a batch, which slices would keep apart."""
        self.forget()
        found = self._per_token(batch).cpu().numpy()
        return [found[batch.owners == place] for place in range(len(batch.pieces))]

    def forget(self) -> None:
        """Let a short text take back what dynamic rotary embeddings keep of a long one."""
        if self._remembers:
            self.tail.forward(torch.zeros(1, 1, dtype=torch.long, device=self.tail.device))

    def score(self, indices: Iterable[int]) -> None:
        """Fill in the values of some texts; smaller batches where memory runs out."""
        left = [int(i) for i in self.pieces.of(indices)]
        started = time.perf_counter()
        self.products = products_in_force(self.tail.device.type)
        reader = LateReader(self._of_pieces)
        while left:
            scored: set[int] = set()
            for batch in self._batches(left):
                pieces = batch.pieces
                if self._first is not None:
                    self._first.begin()
                try:
                    self.forget()
                    reader.take(pieces, self.of_batch(batch))
                    ran_out = False
                except (MemoryError, RuntimeError) as error:
                    if not out_of_memory(error):
                        raise
                    ran_out = True
                # Outside `except`: its traceback keeps all that the batch had made.
                if ran_out:
                    reader.finish()
                    self._shrink(batch)
                    break
                scored.update(map(int, pieces))
                self.done += int(self._lengths[pieces].sum())
                if self.progress is not None:
                    self.progress(min(self.done, self.total), self.total)
                if self._first is not None:
                    reader.finish()
                    self.batch_tokens = self._first.tokens(self.batch_tokens, batch.size)
                    self.budget = 1 if self.outliers else self.batch_tokens
                    self._first = None
                    break
            left = [i for i in left if i not in scored]
        reader.finish()
        self._read_once = None
        self.seconds += time.perf_counter() - started

    def _batches(self, left: list[int]) -> Iterator[Batch]:
        """Batches of some pieces, those behind a prompt of several first."""
        budget = 1 if self.path.kind == WHOLE else self.budget
        if self._first is not None:
            budget = self._first.at_most(budget)
        if self.shared is not None:
            apart = [i for i in left if self.shared.of[i] >= 0]
            yield from self.shared.batches(self.pieces, apart, budget)
            left = [i for i in left if self.shared.of[i] < 0]
        for pieces in self.company.plan(self._lengths, left, budget):
            yield make_batch(self.pieces, pieces, self.pieces.firsts)

    def of_batch(self, batch: Batch) -> np.ndarray | Late:
        """Log-likelihoods of a batch's pieces, float64, shape (layers + 1 or 1, B).

        On an accelerator they are on their way.
        """
        if self.tail.device.type != "cpu":
            return self._of_batch_late(batch)
        if self.settings.layers:
            ids, rows, targets = self._on_device(batch)
            states = layer_rows(self.tail, ids, rows, self.cache_of(batch), self.body_tokens)
            per_token = []
            while states:
                per_token.append(read_out(self.tail, self.path, states.pop(0), targets))
        else:
            per_token = [self._per_token(batch, self.body_tokens)]
        count = len(batch.pieces)
        return np.stack(
            [np.bincount(batch.owners, values.cpu().numpy(), count) for values in per_token]
        )

    def _of_batch_late(self, batch: Batch) -> Late:
        if self.settings.layers:
            ids, rows, targets = self._on_device(batch)
            states = self.tail.layer_outputs(ids, rows, cache=self.cache_of(batch))
            values = read_out_stacked(self.tail, self.path, states, targets)
        else:
            values = self._per_token(batch).unsqueeze(0)
        return Late(values, batch.owners, len(batch.pieces))

    def _on_device(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        return to_device((batch.ids, batch.rows, batch.targets), self.tail.device)

    def cache_of(self, batch: Batch) -> Any:
        """What the model keeps of the prompts that a batch stands behind; None for whole rows."""
        if batch.prompts is None or batch.behind is None:
            return None
        if self._read_once is None or self._read_once[0] is not batch.prompts:
            self._read_once = None
            (prompts,) = to_device((batch.prompts,), self.tail.device)
            self._read_once = (batch.prompts, read_prompts(self.tail, prompts))
        return behind(self._read_once[1], *to_device((batch.behind,), self.tail.device))

    def _per_token(self, batch: Batch, body_tokens: int | None = None) -> torch.Tensor:
        """Log-likelihoods of a batch's scored tokens, float64, shape (R,); in slices as asked."""
        ids, rows, targets = self._on_device(batch)
        if self.path.kind == TILED and self.path.tiled is not None:
            kept = head_rows(self.tail, ids, rows, self.cache_of(batch), body_tokens)
            return self.path.tiled.log_likelihoods(kept, targets)
        if self.path.kind == WHOLE:
            with self.path.logits_as_they_are(self.tail):
                logits = self.tail.forward(ids)
            flat = logits.reshape(-1, logits.shape[-1])[rows.to(logits.device)]
            return softmax_log_likelihoods(flat, targets)
        state = self.tail.layer_outputs(ids, rows, last_only=True, cache=self.cache_of(batch))[0]
        return read_out(self.tail, self.path, state, targets)

    def _shrink(self, batch: Batch) -> None:
        """Halve the budget after running out of memory; a single text cannot be halved."""
        if len(batch.pieces) == 1 and batch.prompts is not None:
            self.shared, self.prompts = None, f"{WITH_EACH}: memory ran out"
        elif len(batch.pieces) == 1:
            text = int(self.pieces.texts[batch.pieces[0]])
            raise ScoringError(
                f"Memory ran out on text {text} alone ({batch.ids.shape[1]} "
                "tokens); use a lower precision, device_map=auto or a machine with more memory."
            )
        self.budget = max(1, min(self.budget, batch.size) // 2)  # kept prompts may exceed it
        self.batch_tokens = min(self.batch_tokens, self.budget)
        self.shrunk += 1
        self._first = None
        self.let_go()

    def let_go(self) -> None:
        """Give back what is kept from batch to batch, as far as nothing else needs it."""
        self._read_once = None
        if self.path.tiled is not None:
            self.path.tiled.let_go()
        give_back()

    def non_finite(self) -> list[int]:
        """Texts whose value is not finite, at any layer."""
        return [int(i) for i in np.flatnonzero(~np.isfinite(self.values).all(axis=0))]

    def forget_path(self) -> None:
        """Let go of the head that the way to the logits holds, before the model is made another."""
        self.let_go()
        self.path = HeadPath(WHOLE, None)

    def find_path(self) -> None:
        """Find the way to the logits, and what may share a batch, of a model made another."""
        self.tail = Tail(self.model)
        self.path, _ = self._prepare()
        self._prove_company()
        if self.company != ANY:
            self.shared, self.prompts = None, WITH_EACH

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
        if self.notices:
            facts[NOTICES] = said_notices((*self.tokens.notices, *self.notices))
        return facts | {
            "dtype": self.dtype,
            "batch_tokens": self.batch_tokens,
            **(self.head_told or self.path.told(self.tail)),
            **self.products,
            "matmul_rounded": self.rounded,
            "batch_policy": str(self.company),
            **({} if self.tokens.firsts is None else {"prompts_read": self.prompts}),
            "windowed": self.pieces.windowed,
            "batch_shrunk": self.shrunk,
            "retried": retried,
            "head": self.path.kind,
            "layers": len(self._of_pieces) - 1,
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(self.done / max(self.seconds, 1e-9), 1),
        }
