"""Small checkpoints that drift as training does, saved whole or in shards."""

from __future__ import annotations

import json

import torch
from safetensors.torch import save_file


def save(folder, tensors, shards=None):
    """A checkpoint folder; `shards` maps shard names to the parameters they hold."""
    folder.mkdir(parents=True)
    if shards is None:
        save_file(tensors, folder / "model.safetensors")
        return folder
    index = {}
    for shard, names in shards.items():
        save_file({name: tensors[name] for name in names}, folder / shard)
        index |= dict.fromkeys(names, shard)
    content = {"metadata": {}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return folder


def drifting(count, seed=0, dtype=torch.float32):
    """A random walk of small checkpoints."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (37, 19), "b.weight": (300, 7), "b.bias": (7,), "scalar": ()}
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for _ in range(count):
        yield {name: value.to(dtype).contiguous() for name, value in state.items()}
        state = {
            name: value + 0.01 * torch.randn(value.shape, generator=generator)
            for name, value in state.items()
        }
