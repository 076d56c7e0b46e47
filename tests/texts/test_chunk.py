"""Chunking loses nothing, keeps to its size and never cuts a character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.chunk import chunk

# Characters of one to four UTF-8 bytes alike, as well as whatever else there is.
TEXTS = st.text(st.sampled_from("a \né京😀\u0301")) | st.text(
    st.characters(exclude_categories=["Cs"])
)


@given(TEXTS, st.integers(4, 40))
def test_the_pieces_are_the_text(text, size):
    assert "".join(chunk(text, size)) == text


@given(TEXTS, st.integers(4, 40))
def test_a_piece_is_as_long_as_whole_characters_allow(text, size):
    pieces = chunk(text, size)
    lengths = [len(piece.encode()) for piece in pieces]
    assert all(0 < length <= size for length in lengths)
    for length, following in zip(lengths, pieces[1:], strict=False):
        assert length + len(following[0].encode()) > size


@given(TEXTS)
def test_at_four_bytes_no_character_is_cut(text):
    assert all(piece.encode().decode() == piece for piece in chunk(text, 4))


def test_known_chunks():
    assert chunk("", 8) == []
    assert chunk("abcd", 4) == ["abcd"]
    assert chunk("abcde", 4) == ["abcd", "e"]
    assert chunk("aé京😀", 4) == ["aé", "京", "😀"]
    assert [len(piece) for piece in chunk("x" * 2500)] == [1024, 1024, 452]


@pytest.mark.parametrize("size", [3, 0, -1])
def test_a_size_that_holds_not_every_character_is_refused(size):
    with pytest.raises(InputError, match=f"Chunks of {size} bytes"):
        chunk("text", size)


def test_a_lone_surrogate_is_named():
    with pytest.raises(InputError, match=r"U\+DC80 at character 2"):
        chunk("ab\udc80")
