"""Chat templates of eight families, written for these tests, and what they should make by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}"
    "{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ bos_token }}[INST] {{ (system if loop.first else '') + m.content }} [/INST]"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
FAMILIES: dict[str, tuple[str | None, Callable[[str], str], str]] = {
    # The template, the head that it makes of one user's message, and the token that ends a turn.
    "chatml": (
        CHATML,
        lambda p: f"<|im_start|>user\n{p}<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>",
    ),
    "llama-2": (LLAMA_2, lambda p: f"<s>[INST] {p} [/INST]", "<|endoftext|>"),
    "llama-3": (
        LLAMA_3,
        lambda p: (
            f"<s><|start_header_id|>user<|end_header_id|>\n\n{p}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        "<|eot_id|>",
    ),
    "gemma": (
        GEMMA,
        lambda p: f"<s><start_of_turn>user\n{p}<end_of_turn>\n<start_of_turn>model\n",
        "<end_of_turn>",
    ),
    "mistral": (MISTRAL, lambda p: f"<s>[INST] {p} [/INST]", "<|endoftext|>"),
    "phi": (PHI, lambda p: f"<|user|>\n{p}<|end|>\n<|assistant|>\n", "<|end|>"),
    "zephyr": (ZEPHYR, lambda p: f"<|user|>\n{p}<|endoftext|>\n<|assistant|>\n", "<|endoftext|>"),
    "none": (None, lambda p: p, "<|endoftext|>"),
}
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
)


def chat_model(folder: Path, template: str | None, seed: int = 0) -> Path:
    """A tiny Llama whose tokenizer knows the special tokens of all families, with a template."""
    import torch
    from transformers import AutoModelForCausalLM

    from tests import tiny

    tokenizer: Any = tiny.make_tokenizer(folder)
    tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": [*SPECIAL]})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(
        tiny.make_config("llama", vocab_size=len(tokenizer), max_position_embeddings=512)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8.0)
    model.save_pretrained(folder)
    return folder
