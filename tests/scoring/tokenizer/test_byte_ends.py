"""Bytes that tokens cover, also of tokens that end inside a character."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mlflow_modelmap import TextSet
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize_with
from tests import tiny

TEXTS = ("the 京都 ends", "🦊🦊 fox", "naïve é", "plain words", "👩🏽‍🚀 京 the")


def byte_level(add_prefix_space=False, **options):
    """Every byte is a token of its own."""
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(sorted(alphabet()))}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, **options)
    inner.decoder = decoders.ByteLevel()
    # transformers 4 sets the inner one's space to what the outer one says.
    return PreTrainedTokenizerFast(tokenizer_object=inner, add_prefix_space=add_prefix_space)


def alphabet():
    return pre_tokenizers.ByteLevel.alphabet()


def byte_fallback():
    """As SentencePiece: words, and bytes for what it has no piece for."""
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "é", *"efhnotx"]
    inner = Tokenizer(
        models.BPE(
            vocab={name: i for i, name in enumerate([*names, "▁t", "▁th"])},
            merges=[("▁", "t"), ("▁t", "h"), ("▁th", "e")],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


def ends_of(tokenizer, text, **settings):
    tokens = tokenize_with(tokenizer, TextSet("one", (text,)), ScoringSettings(**settings))
    return tokens, tokens.ends[0]


@pytest.mark.parametrize("prefix_space", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_tokens_of_one_byte_cover_one_byte(text, prefix_space):
    tokens, ends = ends_of(byte_level(add_prefix_space=prefix_space), text)
    size = len(text.encode())
    expected = np.arange(len(tokens.ids[0])) + 1 - prefix_space
    np.testing.assert_array_equal(ends, expected)
    assert ends[-1] == size


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_kept_decodes_to_the_bytes_that_are_counted(text, tmp_path):
    for tokenizer in (tiny.make_tokenizer(tmp_path), byte_fallback()):
        tokens, ends = ends_of(tokenizer, text)
        raw = text.encode()
        assert ends[-1] == len(raw)
        assert (np.diff(ends) >= 0).all()
        for count, end in enumerate(ends, 1):
            kept = tokenizer.decode(tokens.ids[0][:count], clean_up_tokenization_spaces=False)
            if "\ufffd" in kept:  # the end is inside a character
                assert raw[:end].decode(errors="ignore") != raw[:end].decode(errors="replace")
            else:
                assert kept.encode() == raw[:end]


def test_a_piece_that_falls_back_to_bytes_counts_each():
    tokenizer = byte_fallback()
    tokens, ends = ends_of(tokenizer, "the 🦊é")
    names = tokenizer.convert_ids_to_tokens(tokens.ids[0].tolist())
    assert names == ["▁the", "▁", "<0xF0>", "<0x9F>", "<0xA6>", "<0x8A>", "é"]
    assert ends.tolist() == [3, 4, 5, 6, 7, 8, 10]


@pytest.mark.parametrize("limit", range(3, 12))
def test_a_text_cut_inside_a_character_has_the_bytes_of_its_tokens(limit):
    texts = TextSet("cut", ("a🦊京é end of it",))
    settings = ScoringSettings(overlong="truncate")
    tokens = tokenize_with(byte_level(), texts, settings).within(limit, "truncate")
    assert tokens.bytes.tolist() == [limit]


def test_a_text_that_is_normalised_counts_complete_characters():
    inner = byte_level().backend_tokenizer
    inner.normalizer = normalizers.NFC()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    text = "ne\u0301 京!"
    tokens, ends = ends_of(tokenizer, text)
    assert len(tokens.ids[0]) == len("né 京!".encode())
    # n, é (two tokens, which the library says are of the e alone), a space, 京 (three tokens), !
    assert ends.tolist() == [1, 1, 2, 5, 5, 5, 8, 9]


def test_special_tokens_inside_and_around_a_text(tmp_path):
    tokenizer = tiny.make_tokenizer(tmp_path, bos=True)
    tokens, ends = ends_of(tokenizer, "é<|endoftext|>京")
    assert tokens.ids[0][0] == tokenizer.bos_token_id
    assert ends[0] == 0
    place = tokens.ids[0].tolist().index(tokenizer.eos_token_id)
    assert ends[place - 1 : place + 1].tolist() == [2, 2 + len("<|endoftext|>")]
    assert ends[-1] == 2 + len("<|endoftext|>") + 3
