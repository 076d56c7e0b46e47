"""Tiny models that share a vocabulary, and one that does not; the texts they are scored on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflow_modelmap import TextSet, score
from tests import tiny
from tests.scoring import architectures


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama, a copy that was pushed a little, and one with another vocabulary."""
    folder = tmp_path_factory.mktemp("models")
    # Wide enough for 4 bits on CPU.
    wide = {"hidden_size": 64, "intermediate_size": 128, "num_key_value_heads": 4}
    first = architectures.make(folder / "original", "llama", 1, **wide)
    architectures.pushed(first, folder / "pushed")
    other = architectures.make(folder / "other", "llama", 3)
    tiny.make_tokenizer(other, vocab_size=380)
    return folder


@pytest.fixture
def written(texts: TextSet, tmp_path: Path) -> Path:
    """The session's texts with a domain each, in a file."""
    path = tmp_path / "texts.jsonl"
    lines = [
        {"text": text, "domain": "code" if "def " in text or "import" in text else "prose"}
        for text in texts.texts
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.fixture
def both_scored(store: str, models: Path, written: Path) -> dict[str, str]:
    """Run ids of the two that share a vocabulary, scored in float32; the pushed one's parent."""
    return {
        name: score(
            models / name,
            written,
            precision="float32",
            name=name,
            base_model=str(models / "original") if name == "pushed" else None,
            progress=False,
        ).run_id
        for name in ("original", "pushed")
    }
