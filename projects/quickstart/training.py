"""Train one model on CPU and keep its checkpoints; a training that was killed goes on by itself."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import (
    AutoTokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

VOCABULARY = 2048
LAYERS = 4
HEAD = 64
"""The width of an attention head, Pythia's; a narrower model has one head."""
BATCH = 4
CONTEXT = 128
WARM_UP = 32
END_OF_TEXT = "<|endoftext|>"


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder that appears under its name only once everything in it is written."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def train_tokenizer(documents: Sequence[str], folder: Path) -> None:
    """Train a byte-level BPE, unless it is there."""
    if folder.exists():
        return
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    with written_whole(folder) as unfinished:
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT
        ).save_pretrained(unfinished)


def encode(documents: Sequence[str], tokenizer_folder: Path, path: Path) -> None:
    """Write the token ids of all documents in a row, unless they are there."""
    if path.exists():
        return
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    ids = tokenizer([text + END_OF_TEXT for text in documents])["input_ids"]
    save_whole({"ids": torch.tensor([token for document in ids for token in document])}, path)


def save_whole(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file that appears under its name only once it is complete."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(tensors, unfinished)
    unfinished.replace(path)


def new_model(width: int, seed: int) -> GPTNeoXForCausalLM:
    """A GPT-NeoX with random weights, the architecture of Pythia."""
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=LAYERS,
        num_attention_heads=max(1, width // HEAD),
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    return GPTNeoXForCausalLM(config)


def batch_of(ids: torch.Tensor, seed: int, step: int) -> torch.Tensor:
    """The batch of a step, a function of seed and step alone: (BATCH, CONTEXT + 1) token ids."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + step)
    starts = torch.randint(len(ids) - CONTEXT, (BATCH, 1), generator=generator)
    return ids[starts + torch.arange(CONTEXT + 1)]


def learning_rate(step: int, last_step: int, peak: float) -> float:
    """Linear warm-up, then half a cosine down to a tenth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / last_step))
    return peak * min((step + 1) / WARM_UP, 0.1 + 0.9 * cosine)


def keep_state(
    path: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write all that the next step depends on."""
    state = {"step": torch.tensor(step)}
    for name, parameter in model.named_parameters():
        state[f"parameter {name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            state[f"{key} {name}"] = value
    save_whole(state, path)


def resume(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take up what `keep_state` wrote, if it did: the step to go on with."""
    if not path.exists():
        return 0
    state = load_file(path)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(state[f"parameter {name}"])
        optimizer.state[parameter] = {
            key: state[f"{key} {name}"]
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{key} {name}" in state
        }
    return int(state["step"])


def train(
    folder: Path,
    tokens: Path,
    tokenizer_folder: Path,
    steps: Sequence[int],
    *,
    seed: int,
    width: int = 64,
    parent: Path | None = None,
    peak: float = 3e-3,
    progress: Callable[[int], None] = lambda steps: None,
) -> None:
    """Train a new model of a width, or fine-tune a parent, and keep checkpoints.

    Parameters
    ----------
    folder
        Gets a folder a checkpoint, `step0` and so on; the last one says that all is done.
    tokens
        What `encode` wrote.
    tokenizer_folder
        Copied into every checkpoint, so that each is a whole model.
    steps
        The steps whose checkpoints are kept, ascending.
    peak
        The highest learning rate.
    progress
        Called with how many steps were done since the last call.
    """
    last = steps[-1]
    if (folder / f"step{last}").exists():
        progress(last)
        return
    torch.set_num_threads(1)
    disable_progress_bar()
    ids = load_file(tokens)["ids"]
    model = GPTNeoXForCausalLM.from_pretrained(parent) if parent else new_model(width, seed)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "state.safetensors"
    start = resume(state, model, optimizer)
    progress(start)
    for step in range(start, last + 1):
        checkpoint = folder / f"step{step}"
        if step in steps and not checkpoint.exists():
            if step < last:
                keep_state(state, step, model, optimizer)
            with written_whole(checkpoint) as unfinished:
                model.save_pretrained(unfinished)
                shutil.copytree(tokenizer_folder, unfinished, dirs_exist_ok=True)
        if step < last:
            batch = batch_of(ids, seed, step)
            logits = model(input_ids=batch[:, :-1]).logits
            loss = cross_entropy(logits.reshape(-1, VOCABULARY), batch[:, 1:].reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, last, peak)
            optimizer.step()
            optimizer.zero_grad()
            progress(1)
    state.unlink(missing_ok=True)
