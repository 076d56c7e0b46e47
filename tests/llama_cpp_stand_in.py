"""What this project uses of llama-cpp-python, computed by transformers from the same GGUF file.

It takes the place of the compiled library where that is not installed, at its outermost edge: the
calls and the memory they fill are those of its low-level interface.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

__version__ = "stand-in"


class Llama:
    def __init__(self, path: str, *, n_ctx: int, n_batch: int, n_ubatch: int, **options: Any):
        from pathlib import Path

        from transformers import AutoModelForCausalLM

        assert n_ubatch == n_batch
        folder, name = Path(path).parent, Path(path).name
        self.network = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name).eval()
        self.ctx = self.model = self
        self.n_ctx, self.n_batch, self.options = n_ctx, n_batch, options
        self.past: list[int] = []
        self.logits = np.empty((0, 0), dtype=np.float32)
        self.batches: list[int] = []

    def n_vocab(self) -> int:
        return int(self.network.config.vocab_size)

    def close(self) -> None:
        pass


def llama_batch_init(tokens: int, embd: int, sequences: int) -> Any:
    assert embd == 0
    assert sequences == 1
    return SimpleNamespace(
        n_tokens=0,
        token=(ctypes.c_int32 * tokens)(),
        pos=(ctypes.c_int32 * tokens)(),
        n_seq_id=(ctypes.c_int32 * tokens)(),
        seq_id=[(ctypes.c_int32 * 1)() for _ in range(tokens)],
        logits=(ctypes.c_int8 * tokens)(),
    )


def llama_batch_free(batch: Any) -> None:
    pass


def llama_get_memory(context: Llama) -> Llama:
    return context


def llama_memory_clear(memory: Llama, data: bool) -> None:
    memory.past = []


def llama_decode(context: Llama, batch: Any) -> int:
    import torch

    count = batch.n_tokens
    assert count <= context.n_batch
    assert list(batch.pos[:count]) == list(range(len(context.past), len(context.past) + count))
    assert all(batch.logits[:count])
    context.past += batch.token[:count]
    context.batches.append(count)
    if len(context.past) > context.n_ctx:
        return 1
    with torch.no_grad():
        logits = context.network(torch.tensor([context.past])).logits[0, -count:]
    context.logits = np.ascontiguousarray(logits.float().numpy())
    return 0


def llama_get_logits(context: Llama) -> Any:
    return context.logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def llama_print_system_info() -> bytes:
    return b"none | "


def llama_model_n_params(model: Llama) -> int:
    return sum(p.numel() for p in model.network.parameters())
