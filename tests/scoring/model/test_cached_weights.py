"""What of a model's weights lies in the Hub's cache, and whether that is all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from mlflow_modelmap.scoring.model.cached_weights import cached_weights, lacks_weights
from mlflow_modelmap.scoring.model.hub import snapshot
from mlflow_modelmap.scoring.model.reference import ModelReference
from tests.hub_server import HubServer


def in_two(model: Path, folder: Path) -> Path:
    """The model with its weights in two files, as large ones come."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    places = {key: names[place % 2] for place, key in enumerate(weights)}
    for name in names:
        own = {key: value for key, value in weights.items() if places[key] == name}
        save_file(own, folder / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_one_of_several_files_is_not_all_of_them(tiny_model, tmp_path, monkeypatch):
    reference = ModelReference.parse("org/model")
    with HubServer() as hub:
        hub.add("org/model", in_two(tiny_model, tmp_path / "model"))
        hub.use(monkeypatch, cache=tmp_path / "cache")
        assert lacks_weights(reference)
        snapshot(reference)
        assert not lacks_weights(reference)
    shards = sorted(p for p in cached_weights(reference).files if "-of-" in p.name)
    for shard in shards:
        shard.unlink()
        assert lacks_weights(reference), "the fetching was stopped there"
