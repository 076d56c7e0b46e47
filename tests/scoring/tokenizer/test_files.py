"""Which files belong to a tokenizer: the same ones for digests, downloads and checks."""

from __future__ import annotations

import pytest

from mlflow_modelmap.scoring.model.folder import TELLING_FILES
from mlflow_modelmap.scoring.tokenizer.files import (
    TOKENIZER_FILES,
    holds_tokenizer,
    matches,
    tokenizer_files,
)

NAMES = [
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *(
        "vocab.json",
        "vocab.bpe",
        "merges.txt",
        "spiece.model",
        "qwen.tiktoken",
        "tokenization_x.py",
    ),
]
OTHERS = [
    *("config.json", "generation_config.json", "model.safetensors", "README.md"),
    *("model.safetensors.index.json", "trainer_state.json", "optimizer.pt", "training_args.bin"),
]


def test_what_can_change_a_token_belongs_and_what_differs_by_checkpoint_does_not():
    assert tokenizer_files([*OTHERS, *NAMES]) == sorted(NAMES)


def test_all_of_it_is_fetched_and_part_of_a_model_s_content():
    assert set(TOKENIZER_FILES) < set(TELLING_FILES)
    assert matches("config.json", TELLING_FILES)


@pytest.mark.parametrize(
    ("names", "there"),
    [
        (["tokenizer.json"], True),
        (["spiece.model"], True),
        (["tekken.json"], True),
        (["merges.txt", "special_tokens_map.json"], False),
        (["config.json", "model.safetensors"], False),
        ([], False),
    ],
)
def test_a_directory_without_a_vocabulary_holds_no_tokenizer(names, there):
    assert holds_tokenizer(names) is there
