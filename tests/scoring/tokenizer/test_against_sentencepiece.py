"""Folders with a sentencepiece model alone: its own library says what the pieces are."""

from __future__ import annotations

import json

import pytest
import sentencepiece

from mlflow_modelmap import TextSet
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests import tiny

TEXTS = TextSet("sentences", tuple(tiny.SENTENCES))


def _write(folder, declared, *, dummy_prefix=True):
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(tiny.SENTENCES * 20), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=330,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=dummy_prefix,
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    config = {"tokenizer_class": declared, "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def test_a_class_that_does_as_the_library_is_taken(tmp_path):
    own = _write(tmp_path, "LlamaTokenizer")
    tokens = tokenize(tmp_path, TEXTS, ScoringSettings())
    assert [list(row) for row in tokens.ids] == [own.encode(text) for text in TEXTS.texts]


def test_another_idea_of_the_first_space_is_refused(tmp_path):
    _write(tmp_path, "LlamaTokenizer", dummy_prefix=False)
    with pytest.raises(InputError, match=r"other tokens of 6 of 6 texts than sentencepiece"):
        tokenize(tmp_path, TEXTS, ScoringSettings())
    assert len(tokenize(tmp_path, TEXTS, ScoringSettings(tokens_from="class"))) == 6


@pytest.mark.skipif(tiny.TRANSFORMERS < 5, reason="its class reads a leading space as the file")
def test_one_text_is_enough(tmp_path):
    _write(tmp_path, "LlamaTokenizer")
    texts = TextSet("one of them", (*tiny.SENTENCES, " leading space"))
    with pytest.raises(InputError, match="of 1 of 7 texts"):
        tokenize(tmp_path, texts, ScoringSettings())


def test_a_file_that_is_no_sentencepiece_model_is_not_asked(tmp_path):
    tiny.make_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"not a model")
    assert len(tokenize(tmp_path, TEXTS, ScoringSettings())) == 6
