"""Files that look like a tiny model from outside: nothing in them is ever loaded."""

from __future__ import annotations

import json


def safetensors(seed: int = 0) -> bytes:
    """A safetensors file of one tensor of four floats."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes([seed % 256]) * 16


def model_files(seed: int = 0) -> dict[str, bytes]:
    """Configuration, weights and tokenizer; another seed means other weights."""
    config = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": safetensors(seed),
        "tokenizer.json": b"{}",
    }
