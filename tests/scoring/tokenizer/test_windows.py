"""Windows: every token scored once, with the context that is promised, after the text's BOS."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.tokenizer.windows import chosen, cut


@st.composite
def cuts(draw):
    """Lengths, the prefix, the first scored token, window and stride that are possible."""
    prefix = draw(st.integers(0, 3))
    first = max(1, prefix)
    window = draw(st.integers(first + 1, 40))
    stride = draw(st.none() | st.integers(1, window - first))
    lengths = draw(st.lists(st.integers(first + 1, 200), min_size=1, max_size=12))
    return lengths, prefix, first, window, stride


@given(cuts())
def test_every_token_is_scored_once_with_its_context(made):
    lengths, prefix, first, window, stride = made
    window, stride = chosen(None, window, stride, first)
    texts = [np.arange(n) + 1000 * i for i, n in enumerate(lengths)]
    pieces = cut(texts, first, prefix, window, stride)
    scored = [[] for _ in texts]
    for number, text in enumerate(pieces.texts):
        ids, begin = pieces[number], pieces.firsts[number]
        assert len(ids) == pieces.lengths[number] <= window
        assert len(ids) - begin == pieces.scored[number] > 0
        assert ids[:prefix].tolist() == texts[text][:prefix].tolist()
        later = bool(scored[text])
        assert begin >= (window - stride if later else first)
        # What comes before a scored token is what comes before it in the text.
        own = ids[prefix:].tolist()
        assert own == list(range(own[0], own[0] + len(own)))
        scored[text] += ids[begin:].tolist()
    assert scored == [row[first:].tolist() for row in texts]
    assert pieces.windowed == sum(n > window for n in lengths)
    sums = pieces.by_text(np.stack([pieces.scored, 2 * pieces.scored]).astype(float))
    np.testing.assert_array_equal(sums, np.outer([1, 2], [len(row) for row in scored]))
    assert np.array_equal(
        pieces.of([len(texts) - 1]), np.flatnonzero(pieces.texts == len(texts) - 1)
    )


def test_texts_that_fit_are_pieces_as_they_are():
    texts = [np.arange(5), np.arange(8)]
    pieces = cut(texts, 1, 0, 8, 4)
    assert [pieces[i].tolist() for i in range(2)] == [row.tolist() for row in texts]
    values = np.array([[1.0, 2.0]])
    assert pieces.by_text(values) is values
    assert pieces.windowed == 0


def test_a_hundred_thousand_windows_are_not_made_before_they_are_asked_for():
    pieces = cut([np.arange(100_000)], 1, 1, 2_000, 1)
    assert len(pieces) == 98_001
    assert pieces[50_000].tolist()[:3] == [0, 50_001, 50_002]
    held = sum(array.nbytes for array in (pieces.texts, pieces.starts, pieces.stops, pieces.firsts))
    assert held < 4 * 2**20


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ((256, None, None, 1), (256, 128)),
        ((256, 100, None, 1), (100, 50)),
        ((None, 100, 30, 1), (100, 30)),
        ((None, None, 30, 1), (None, None)),
        ((2, None, None, 1), (2, 1)),
        ((3, None, None, 2), (3, 1)),
        ((256, None, 255, 1), (256, 255)),
    ],
)
def test_what_is_not_said_follows_from_the_model(asked, found):
    assert chosen(*asked) == found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((256, 300, None, 1), "window_tokens is 300, but the model takes 256 tokens at most"),
        ((256, None, 256, 1), "stride is 256, but the window has 256 tokens.*give 255 or less"),
        ((256, None, 255, 2), "of which 2 can only condition; give 254 or less"),
        ((2, None, None, 2), "leaves nothing of a text to score"),
    ],
)
def test_windows_that_cannot_be_are_refused(asked, said):
    with pytest.raises(InputError, match=said):
        chosen(*asked)
