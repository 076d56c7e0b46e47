"""Tiny real tokenizers and models, made on the spot: nothing is downloaded."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

TRANSFORMERS = int(version("transformers").split(".")[0])
NOT_IN_FLOAT64 = {"mpt"} if TRANSFORMERS < 5 else set()
"""Kinds whose mask overflows there."""
SENTENCES = [
    "The quick brown fox jumps over the lazy dog while the cat sleeps.",
    "A language model gives every text a probability; logs of it add up.",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))",
    "Numbers such as 3.14159 and 2,718 are split into several tokens.",
    "Grüße aus Kyoto: 京都 is written with two characters, naïve café too.",
    "import numpy as np\nx = np.zeros((3, 4))\nassert x.sum() == 0",
]


def make_tokenizer(path: str | Path, vocab_size: int = 400, bos: bool = False) -> Any:
    """Train a byte-level BPE on a few sentences and save it; with `bos` it prepends <s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        bos_token="<s>" if bos else "<|endoftext|>",
    )
    fast.save_pretrained(path)
    return fast


def of_the_installed(settings: dict[str, Any]) -> dict[str, Any]:
    """The same configuration in the installed transformers' words; version 5 has its own for rotary
    embeddings."""
    if TRANSFORMERS >= 5 or "rope_parameters" not in settings:
        return settings
    told = {name: value for name, value in settings.items() if name != "rope_parameters"}
    rotary = dict(settings["rope_parameters"])
    told["rope_theta"] = rotary.pop("rope_theta")
    if rotary["rope_type"] == "longrope":
        factors = {name: rotary[name] for name in ("short_factor", "long_factor")}
        rotary = {"type": "longrope", **factors}
    return told if rotary == {"rope_type": "default"} else {**told, "rope_scaling": rotary}


def make_config(architecture: str, **overrides: Any) -> Any:
    """A tiny configuration of a causal LM: vocabulary 400, width 32, 2 layers, 256 positions."""
    from transformers import AutoConfig

    common: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": None,
    }
    extra: dict[str, dict[str, Any]] = {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
        "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "pad_token_id": 1},
        "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8},
        "llama": {"num_key_value_heads": 2},
        "qwen2": {"num_key_value_heads": 2},
    }
    gpt2_names = {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}
    if architecture == "gpt2":
        common = {k: v for k, v in common.items() if k not in gpt2_names}
        common.pop("max_position_embeddings")
    config = AutoConfig.for_model(
        architecture,
        **{**common, **extra.get(architecture, {}), **of_the_installed(overrides)},
    )
    return config


def make_model(
    path: str | Path,
    architecture: str = "gpt_neox",
    seed: int = 0,
    bos: bool = False,
    scale: float = 8.0,
    **overrides: Any,
) -> Path:
    """Save a tiny random model (safetensors) and its tokenizer; weights are scaled up so that
    its distributions are far from uniform."""
    import torch
    from transformers import AutoModelForCausalLM

    path = Path(path)
    make_tokenizer(path, bos=bos)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(make_config(architecture, **overrides))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.mul_(scale)
                elif scale != 1.0:
                    parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(path)
    return path
