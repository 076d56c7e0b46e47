"""A tokenizer whose configuration declares a class that splits text otherwise than its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import tiny

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 splits."""
TEXTS = (
    "foo.bar(x)_y 1234567 IT'S it's a\r\nb\n\n\n  c = d",
    "Hello  world's 12345 don't 京都\n\n  x=3",
    " leading space, and 2025-11-26",
)


def write(folder: Path, declared: str | None, eos: bool = False) -> Any:
    """Train it, save it under a declared class, and give what its file says."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [*tiny.SENTENCES, *TEXTS] * 4,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|endoftext|>", "<s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    end = " <|endoftext|>" if eos else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"<s> $A{end}", special_tokens=[("<s>", 1), ("<|endoftext|>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<s>"
    ).save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("tokenizer_class", None)
    if declared:
        config["tokenizer_class"] = declared
    path.write_text(json.dumps(config))
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
