"""A tiny Llama as a GGUF file, written by the gguf library as llama.cpp's converter writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import TRANSFORMERS

NEEDED = "GGUF files need transformers 5"
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def write_gguf(
    path: Path,
    folder: Path,
    kind: str = "Q8_0",
    *,
    pre: str = "llama-bpe",
    said: bool = True,
    bos: bool = False,
) -> dict[str, np.ndarray]:
    """Write a Llama's folder as a GGUF file of this type; its dequantised weights by their names.

    Parameters
    ----------
    pre
        What it calls its pre-tokenizer.
    said
        Whether it says its file type.
    bos
        Whether it says that a BOS comes first.
    """
    if TRANSFORMERS < 5:
        pytest.skip(NEEDED)
    import gguf
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    if said:
        file_types = {"F32": "ALL_F32"}
        name = file_types.get(kind, f"MOSTLY_{kind}")
        writer.add_file_type(getattr(gguf.LlamaFileType, name))
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rotary = getattr(config, "rope_parameters", None) or {"rope_theta": config.rope_theta}
    writer.add_rope_freq_base(rotary["rope_theta"])
    _add_tokenizer(writer, Tokenizer.from_file(str(folder / "tokenizer.json")), pre, bos)
    weights = {}
    of_type = getattr(gguf.GGMLQuantizationType, kind)
    for name, value in load_file(folder / "model.safetensors").items():
        value = value.astype(np.float32)
        if ".q_proj" in name:
            value = _permuted(value, config.num_attention_heads)
        elif ".k_proj" in name:
            value = _permuted(value, config.num_key_value_heads)
        plain = value.ndim == 1
        stored = value if plain else gguf.quants.quantize(value, of_type)
        writer.add_tensor(
            _named(name), stored, raw_dtype=gguf.GGMLQuantizationType.F32 if plain else of_type
        )
        back = value if plain else gguf.quants.dequantize(stored, of_type)
        if ".q_proj" in name:
            back = _permuted_back(back, config.num_attention_heads)
        elif ".k_proj" in name:
            back = _permuted_back(back, config.num_key_value_heads)
        weights[name] = back
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def _add_tokenizer(writer: Any, tokenizer: Any, pre: str, bos: bool) -> None:
    import json

    import gguf

    written = json.loads(tokenizer.to_str())
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    special = {token["id"] for token in written["added_tokens"]}
    kinds = [
        gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL
        for i in range(len(tokens))
    ]
    merges = [m if isinstance(m, str) else " ".join(m) for m in written["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(bos)


def _named(name: str) -> str:
    if name.startswith("model.layers."):
        number, rest = name.removeprefix("model.layers.").split(".", 1)
        return f"blk.{number}.{_NAMES[rest]}"
    return _NAMES[name]


def _permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Halves of each head interleaved, as llama.cpp's rotary embedding wants them."""
    rows, width = weight.shape
    split = weight.reshape(heads, 2, rows // heads // 2, width)
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows, width))


def _permuted_back(weight: np.ndarray, heads: int) -> np.ndarray:
    rows, width = weight.shape
    split = weight.reshape(heads, rows // heads // 2, 2, width)
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows, width))
