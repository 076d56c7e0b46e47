"""Scoring: llama.cpp in this process, by llama-cpp-python - the arithmetic that people deploy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engines.reader import Facts, Row
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.gguf_file import WEIGHTS
from mlflow_modelmap.scoring.model.reference import ModelFiles
from mlflow_modelmap.words.reason import reason

_MOST_BATCH = 512
_MANY_ENTRIES = 256 * 1024
_LOGITS = 32 * 1024**2
"""Logits that are in memory at once (float32)."""


class LlamaCppReader:
    """A GGUF file under llama.cpp: its kernels, its rounding of activations, its float16 cache.

    Parameters
    ----------
    longest
        Tokens of the longest row.
    device
        ``cpu``, or anything else to put all layers onto the accelerator that it was built for.
    """

    takes_tokens, rereads, prefixed = True, False, False

    def __init__(self, files: ModelFiles, longest: int, device: str) -> None:
        path = os.path.join(files.model_path, WEIGHTS)
        if not os.path.exists(path):
            raise InputError(
                f"llama.cpp reads GGUF files, and {str(files.reference)!r} is none; give one "
                "(model.gguf, org/name/file.gguf), or take engine=transformers."
            )
        if files.adapter is not None:
            raise InputError(
                "llama.cpp takes no PEFT adapters; take engine=transformers, or merge the adapter "
                "and make a GGUF file of the whole."
            )
        try:
            import llama_cpp
        except ImportError:
            raise InputError(
                "engine=llama.cpp needs the package llama-cpp-python; install "
                "`mlflow-modelmap[llama-cpp]`."
            ) from None
        self._library: Any = llama_cpp
        self.what = f"llama.cpp with {str(files.reference)!r}"
        self._threads = torch.get_num_threads()
        options: dict[str, Any] = {
            "n_ctx": longest + 1,
            "n_gpu_layers": 0 if device == "cpu" else -1,
            "n_threads": self._threads,
            "n_threads_batch": self._threads,
            "verbose": False,
        }
        try:
            entries = int(read_config(files.model_path).get("vocab_size") or _MANY_ENTRIES)
            self._batch_tokens = max(16, min(_MOST_BATCH, _LOGITS // entries))
            self._llama = llama_cpp.Llama(
                path, n_batch=self._batch_tokens, n_ubatch=self._batch_tokens, **options
            )
        except Exception as error:
            raise ScoringError(
                f"llama.cpp cannot load {str(files.reference)!r} ({reason(error)})."
            ) from None
        self._entries = int(self._llama.n_vocab())
        self._batch = llama_cpp.llama_batch_init(self._batch_tokens, 0, 1)
        self._open = True

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[int, np.ndarray]]:
        """See `Reader.read`: one row at a time."""
        for place, row in enumerate(rows):
            yield place, self._one(row)

    def _one(self, row: Row) -> np.ndarray:
        library, context = self._library, self._llama.ctx
        library.llama_memory_clear(library.llama_get_memory(context), True)
        values = np.empty(len(row.ids) - 1)
        for begin in range(0, len(row.ids), self._batch_tokens):
            part = row.ids[begin : begin + self._batch_tokens]
            self._fill(part, begin)
            failed = library.llama_decode(context, self._batch)
            if failed:
                raise ScoringError(f"{self.what} fails on {row.name} (llama_decode {failed}).")
            targets = row.ids[begin + 1 : begin + 1 + len(part)]
            logits = np.ctypeslib.as_array(
                library.llama_get_logits(context), shape=(len(part), self._entries)
            )[: len(targets)]
            values[begin : begin + len(targets)] = _log_likelihoods(logits, targets)
        return values

    def _fill(self, ids: np.ndarray, begin: int) -> None:
        batch = self._batch
        batch.n_tokens = len(ids)
        for at, token in enumerate(ids):
            batch.token[at] = int(token)
            batch.pos[at] = begin + at
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = 0
            batch.logits[at] = 1

    def facts(self) -> Facts:
        """See `Reader.facts`."""
        features: bytes = self._library.llama_print_system_info()
        return {
            "llama_cpp_python": str(self._library.__version__),
            "llama_cpp_features": features.decode().strip(" |")[:500],
            "threads": self._threads,
            "parameters": int(self._library.llama_model_n_params(self._llama.model)),
        }

    def close(self) -> None:
        """See `Reader.close`."""
        if self._open:
            self._open = False
            self._library.llama_batch_free(self._batch)
            self._llama.close()


def _log_likelihoods(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of rows of logits, float32, shape (R, V): the targets', float64; sums in float64."""
    largest = logits.max(axis=1, keepdims=True)
    sums = np.exp(logits - largest).sum(axis=1, dtype=np.float64)
    own = logits[np.arange(len(targets)), targets].astype(np.float64)
    return own - largest[:, 0].astype(np.float64) - np.log(sums)
