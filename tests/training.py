"""Tiny real trainings with the Hugging Face Trainer, seconds long, the same in every test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlflow_modelmap import TextSet
from tests import tiny

LENGTH = 48


def monitoring_texts(count: int = 6) -> TextSet:
    """36 texts of different lengths, `count` of each sentence."""
    written = (f"{s[: 30 + 5 * k]} #{k}" for s in tiny.SENTENCES for k in range(count))
    return TextSet("monitoring texts", tuple(written))


def start_model(folder: str | Path) -> Path:
    """A tiny untrained Llama with its tokenizer, which can pad."""
    path = tiny.make_model(folder, "llama", 0, scale=1.0)
    tokenizer = tokenizer_of(path)
    tokenizer.save_pretrained(path)
    return path


def tokenizer_of(path: str | Path) -> Any:
    """The tokenizer, which pads with its end of text."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def model_of(path: str | Path) -> Any:
    """The model in float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path)


def examples(tokenizer: Any) -> list[dict[str, list[int]]]:
    """Enough of the same few sentences for a tiny model to learn."""
    ids = [tokenizer(sentence * 4)["input_ids"][:LENGTH] for sentence in tiny.SENTENCES]
    return [{"input_ids": row, "labels": row} for row in ids if len(row) == LENGTH] * 40


def trainer(
    start: Path,
    output: Path,
    callbacks: Sequence[Any],
    *,
    steps: int = 12,
    change: Callable[[Any], Any] = lambda model: model,
    **options: Any,
) -> Any:
    """A Trainer on CPU that logs every loss; its model has dropout, so that random draws count.

    `change` makes of the model what is trained.
    """
    import torch
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(0)
    tokenizer = tokenizer_of(start)
    model = model_of(start)
    model.config.attention_dropout = 0.1
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.1
    settings = {
        "max_steps": steps,
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
        "logging_steps": 1,
        "save_steps": 4,
        "report_to": "none",
        "use_cpu": True,
        "seed": 1,
        "disable_tqdm": True,
        **options,
    }
    return Trainer(
        change(model),
        TrainingArguments(str(output), **settings),
        train_dataset=examples(tokenizer),
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def losses(trained: Any) -> list[float]:
    """Every step's loss."""
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]
