"""The tokens are those of tokenizer.json, whatever class a configuration declares."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer, other_than_in_file
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from tests.scoring.tokenizer import foreign_class
from tests.tiny import TRANSFORMERS

TEXTS = TextSet("split", foreign_class.TEXTS)
DECLARED = [
    *("GPT2Tokenizer", "LlamaTokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizerFast"),
    *("GemmaTokenizer", "CohereTokenizer", "WhisperTokenizer", "CodeLlamaTokenizer", None),
]
NAMELESS = "transformers 4 loads no tokenizer of which nothing says what it is"


def _ids(tokens):
    return [list(row[tokens.first if tokens.bos_applied else 0 :]) for row in tokens.ids]


@pytest.mark.parametrize("family", ["llama", "qwen2", None])
@pytest.mark.parametrize("declared", DECLARED)
def test_the_file_is_the_truth(tmp_path, declared, family):
    if TRANSFORMERS < 5 and declared is None and family is None:
        pytest.skip(NAMELESS)
    stored = foreign_class.write(tmp_path, declared)
    if family:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    expected = [one.ids for one in stored.encode_batch(list(TEXTS.texts), add_special_tokens=False)]
    tokens = tokenize(tmp_path, TEXTS, ScoringSettings())
    assert _ids(tokens) == expected
    assert load_tokenizer(tmp_path).encode(TEXTS.texts[0], add_special_tokens=False) == expected[0]


@pytest.mark.skipif(TRANSFORMERS < 5, reason="transformers 4 takes the file as it is")
def test_it_is_said_of_how_many_texts_the_class_would_make_others(tmp_path):
    stored = foreign_class.write(tmp_path, "Qwen2Tokenizer")
    declared = AutoTokenizer.from_pretrained(tmp_path)
    others = sum(
        declared.encode(text, add_special_tokens=False)
        != stored.encode(text, add_special_tokens=False).ids
        for text in TEXTS.texts
    )
    assert others > 0
    tokens = tokenize(tmp_path, TEXTS, ScoringSettings())
    assert tokens.facts["tokenizer_class_differs"] == others
    assert f"{others} of 3 texts otherwise than the model's tokenizer.json" in tokens.notices[0]


def test_the_class_can_be_asked_for(tmp_path):
    foreign_class.write(tmp_path, "Qwen2Tokenizer")
    declared = AutoTokenizer.from_pretrained(tmp_path)
    settings = ScoringSettings(tokens_from="class")
    tokens = tokenize(tmp_path, TEXTS, settings)
    assert _ids(tokens) == [declared.encode(t, add_special_tokens=False) for t in TEXTS.texts]
    assert not tokens.notices
    assert not tokens.made_from(TEXTS, ScoringSettings())
    assert tokens.made_from(TEXTS, settings)


@pytest.mark.skipif(TRANSFORMERS < 5, reason=NAMELESS)
def test_where_class_and_file_agree_nothing_is_said(tmp_path):
    foreign_class.write(tmp_path, None)
    tokens = tokenize(tmp_path, TEXTS, ScoringSettings())
    assert not tokens.notices
    assert "tokenizer_class_differs" not in tokens.facts


def test_tokens_that_the_configuration_adds_stay(tmp_path):
    foreign_class.write(tmp_path, "Qwen2Tokenizer")
    added = AutoTokenizer.from_pretrained(tmp_path).vocab_size
    path = tmp_path / "tokenizer_config.json"
    said = {"content": "[tool]", "special": False, "normalized": False, "single_word": False}
    said |= {"lstrip": False, "rstrip": False}
    config = json.loads(path.read_text()) | {"added_tokens_decoder": {str(added): said}}
    path.write_text(json.dumps(config))
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert added in loaded.encode("call [tool] now", add_special_tokens=False)
    texts = TextSet("tools", ("call [tool] now",))
    assert added in _ids(tokenize(tmp_path, texts, ScoringSettings()))[0]


def test_special_tokens_within_a_text_as_characters(tmp_path):
    stored = foreign_class.write(tmp_path, "Qwen2Tokenizer")
    texts = TextSet("special", ("one <|endoftext|> two",))
    stored.encode_special_tokens = True
    plain = stored.encode(texts.texts[0], add_special_tokens=False).ids
    tokens = tokenize(tmp_path, texts, ScoringSettings(split_special_tokens=True))
    assert _ids(tokens) == [plain]
    assert 0 not in plain
    assert 0 in _ids(tokenize(tmp_path, texts, ScoringSettings()))[0]


def test_a_tokenizer_at_hand_is_held_against_its_file_also_by_its_name_on_the_hub(
    tmp_path, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--org--model", "c" * 40
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    foreign_class.write(folder, "Qwen2Tokenizer")
    at_hand = AutoTokenizer.from_pretrained(folder)
    for name, differing in ((str(folder), 3), ("org/model", 3), ("org/other", 0), ("a/b/c", 0)):
        at_hand.name_or_path = name  # as the Hub's client leaves it, without a file's path
        at_hand.init_kwargs.pop("tokenizer_file", None)
        assert other_than_in_file(at_hand, foreign_class.TEXTS, split=False) == differing


def test_a_tokenizer_that_was_trained_anew_is_not_the_file_s(tmp_path):
    """It keeps the old one's path, whose file says nothing of it."""
    foreign_class.write(tmp_path, None)
    old = AutoTokenizer.from_pretrained(tmp_path)
    new = old.train_new_from_iterator(["other words of another corpus"] * 9, vocab_size=280)
    assert new.name_or_path == old.name_or_path
    assert new.tokenize(foreign_class.TEXTS[0]) != old.tokenize(foreign_class.TEXTS[0])
    assert other_than_in_file(new, foreign_class.TEXTS, split=False) == 0
