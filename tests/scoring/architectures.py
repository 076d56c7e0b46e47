"""Tiny configurations of many architectures, each with what its family needs to be small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import tiny

_GROUPED = {"num_key_value_heads": 2}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, **_GROUPED}
_GPT2_LIKE = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
_MAMBA = {"state_size": 8, "num_attention_heads": None, "max_position_embeddings": None}

# name: (transformers' model type, configuration)
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox": ("gpt_neox", {}),
    "gpt_neox sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "llama": ("llama", _GROUPED),
    "gpt2": ("gpt2", _GPT2_LIKE),
    "gemma": ("gemma", {**_GROUPED, "head_dim": 8}),
    "gemma2": (
        "gemma2",
        {**_GROUPED, "head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0},
    ),
    "gemma3_text": ("gemma3_text", {**_GROUPED, "head_dim": 8, "query_pre_attn_scalar": 8}),
    "opt": ("opt", {"ffn_dim": 64, "pad_token_id": 1, "word_embed_proj_dim": 32}),
    "opt with projection": (
        "opt",
        {
            "ffn_dim": 64,
            "pad_token_id": 1,
            "word_embed_proj_dim": 16,
            "do_layer_norm_before": False,
        },
    ),
    "qwen2": ("qwen2", _GROUPED),
    "qwen3": ("qwen3", {**_GROUPED, "head_dim": 8}),
    "qwen2_moe": (
        "qwen2_moe",
        {
            **_GROUPED,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
    ),
    "mistral": ("mistral", _GROUPED),
    "mixtral": ("mixtral", _EXPERTS),
    "phi": ("phi", {}),
    "phi3": ("phi3", {**_GROUPED, "pad_token_id": 0}),
    "gptj": ("gptj", {**_GPT2_LIKE, "rotary_dim": 4}),
    "gpt_neo": (
        "gpt_neo",
        {
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "attention_layers": ["global", "local"],
            "window_size": 16,
        },
    ),
    "gpt_bigcode": ("gpt_bigcode", _GPT2_LIKE),
    "falcon": ("falcon", {"multi_query": True, "alibi": False}),
    "falcon with alibi": ("falcon", {"multi_query": False, "alibi": True}),
    "bloom": ("bloom", {"n_layer": 2, "n_head": 4}),
    "mpt": (
        "mpt",
        {
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 256,
        },
    ),
    "cohere": ("cohere", {**_GROUPED, "logit_scale": 0.0625}),
    "cohere2": ("cohere2", {**_GROUPED, "logit_scale": 0.25}),
    "granite": (
        "granite",
        {
            **_GROUPED,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.5,
            "embedding_multiplier": 3.0,
        },
    ),
    "granitemoe": ("granitemoe", {**_EXPERTS, "logits_scaling": 4.0}),
    "olmo": ("olmo", {**_GROUPED, "clip_qkv": None}),
    "olmo2": ("olmo2", _GROUPED),
    "olmoe": ("olmoe", {**_GROUPED, "num_experts": 4, "num_experts_per_tok": 2}),
    "stablelm": ("stablelm", _GROUPED),
    "starcoder2": ("starcoder2", _GROUPED),
    "persimmon": ("persimmon", {}),
    "codegen": ("codegen", {**_GPT2_LIKE, "rotary_dim": 4}),
    "xglm": (
        "xglm",
        {
            "d_model": 32,
            "ffn_dim": 64,
            "num_layers": 2,
            "attention_heads": 4,
            "pad_token_id": 1,
        },
    ),
    "biogpt": ("biogpt", {"pad_token_id": 1}),
    "glm": ("glm", {**_GROUPED, "head_dim": 8, "pad_token_id": 0}),
    "smollm3": ("smollm3", {**_GROUPED, "pad_token_id": 0}),
    "nemotron": ("nemotron", {**_GROUPED, "head_dim": 8}),
    "helium": ("helium", {**_GROUPED, "head_dim": 8}),
    "mamba": ("mamba", _MAMBA),
    "mamba2": ("mamba2", {**_MAMBA, "num_heads": 4, "head_dim": 16, "n_groups": 1}),
    "falcon_mamba": ("falcon_mamba", _MAMBA),
    "rwkv": ("rwkv", {"attention_hidden_size": 32, "context_length": 256}),
}


def pushed(model: Path, path: Path, seed: int = 0) -> Path:
    """Save a copy of a model whose parameters are all moved by a twentieth of their spread."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    copy = AutoModelForCausalLM.from_pretrained(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter += 0.05 * parameter.std() * torch.randn_like(parameter)
    copy.save_pretrained(path)
    AutoTokenizer.from_pretrained(model).save_pretrained(path)
    return path


def make(path: Path, name: str, seed: int = 0, **changes: Any) -> Path:
    """Save a tiny model of an architecture above; `changes` go into its configuration."""
    kind, config = ARCHITECTURES[name]
    return tiny.make_model(path, kind, seed, scale=20.0, **{**config, **changes})
