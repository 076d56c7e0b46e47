"""Scoring: models of parts that are known, in which no row of a batch can change another."""

from __future__ import annotations

from typing import Any

from torch import nn

from mlflow_modelmap.scoring.engine.company import ANY, by_positions, rotary_kinds

KINDS = frozenset(
    (
        *("apertus", "arcee", "bloom", "codegen", "cohere", "cohere2", "ernie4_5", "exaone4"),
        *("falcon", "gemma", "gemma2", "gemma3", "glm", "glm4", "gpt2", "gpt_neo", "gpt_neox"),
        *("gptj", "granite", "helium", "llama", "ministral", "mistral", "mpt", "nemotron"),
        *("olmo", "olmo2", "olmo3", "opt", "persimmon", "phi", "phi3", "qwen2", "qwen3"),
        *("seed_oss", "smollm3", "stablelm", "starcoder2"),
    )
)
"""Dense decoders of transformers: attention within a row, all else token by token."""
_OF_TORCH = (
    *(nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.Dropout, nn.Identity),
    *(nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Sequential),
    *(nn.SiLU, nn.GELU, nn.ReLU, nn.Tanh),
)
_OF_OTHERS = frozenset(
    (
        "transformers.activations",
        "transformers.integrations.bitsandbytes",
        "transformers.pytorch_utils",
        "bitsandbytes.nn.modules",
        "peft.peft_model",
        "peft.tuners._buffer_dict",
        "peft.tuners.lora.bnb",
        "peft.tuners.lora.layer",
        "peft.tuners.lora.model",
        "peft.tuners.tuners_utils",
    )
)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_ATTENTION = ("eager", "sdpa")
_ROTARY = frozenset(("default", "linear", "llama3", "proportional", "yarn"))
"""Kinds of rotary embeddings whose frequencies are the same for every batch."""


def rows_are_apart(model: Any) -> bool:
    """Whether a model is made of nothing but parts that treat each row of a batch by itself.

    Then a short proof is enough; whatever is not known is proved at its full lengths. False for a
    class of the user's own, a forward that was replaced, a hook, a model that was compiled or
    spread over processes.

    Parameters
    ----------
    model
        A language model in memory, with adapters or without.
    """
    config = model.config.get_text_config(decoder=True)
    if getattr(config, "_attn_implementation", None) not in _ATTENTION:
        return False
    if by_positions(model.config) != (ANY, False) or not rotary_kinds(model.config) <= _ROTARY:
        return False
    return all(_known(module) for module in model.modules())


def _known(module: nn.Module) -> bool:
    if any(getattr(module, name) for name in _HOOKS):
        return False
    if "forward" in vars(module) and not hasattr(module, "_hf_hook"):  # one of accelerate moves
        return False
    rotary = getattr(module, "rope_type", "default")
    if not set(rotary.values() if isinstance(rotary, dict) else (rotary,)) <= _ROTARY:
        return False
    kind = type(module)
    if kind not in _OF_TORCH and not _of_a_known_file(kind.__module__):
        return False
    code = kind.forward.__module__  # another's where the class was patched
    return code.startswith("torch.nn.modules.") or _of_a_known_file(code)


def _of_a_known_file(name: str) -> bool:
    if name in _OF_OTHERS:
        return True
    parts = name.split(".")
    return parts[:2] == ["transformers", "models"] and parts[2] in KINDS


def beginnings(pieces: Any) -> list[Any]:
    """The first tokens of a few of the longest pieces, of different lengths, for a short proof."""
    longest = sorted(range(len(pieces)), key=lambda i: -len(pieces[i]))[:3]
    cut = [pieces[i][:length] for i, length in zip(longest, (24, 16, 8), strict=False)]
    return [ids for ids in cut if len(ids) > 1]
