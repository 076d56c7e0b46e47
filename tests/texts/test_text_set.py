"""A text set's digest and what it refuses."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet, digest_of


def test_the_digest_on_values_worked_out_by_hand():
    by_hand = b"\0\0\0\0\0\0\0\x01a" + b"\0\0\0\0\0\0\0\x02\xc3\xa9"
    assert hashlib.sha256(by_hand).hexdigest() == digest_of(["a", "é"])
    # The same from a shell: printf '\0\0\0\0\0\0\0\001a\0\0\0\0\0\0\0\002\303\251' | sha256sum
    assert (
        TextSet("two", ("a", "é")).digest
        == "9ad218bf27a0c264888ffe9e81250279bec06d245b5fc445965a7a257031da81"
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=4))
def test_order_and_boundaries_count(texts):
    joined = ["".join(texts)]
    assert (digest_of(texts) == digest_of(joined)) == (texts == joined)
    assert (digest_of(texts) == digest_of(texts[::-1])) == (texts == texts[::-1])


def test_domains_weights_and_the_name_do_not_count():
    plain = TextSet("a", ("x", "y"))
    assert TextSet("b", ("x", "y"), ("u", "v"), (1.0, 2.0)).digest == plain.digest


def test_bytes_are_those_of_utf8():
    text_set = TextSet("sizes", ("a", "é", "京都"))
    assert np.array_equal(text_set.bytes, [1, 2, 6])
    assert text_set.mean_bytes == 3.0
    assert len(text_set) == 3


@pytest.mark.parametrize(
    ("texts", "options", "told"),
    [
        ((), {}, "holds no texts"),
        (("a", ""), {}, "Text 1 of the text set 'odd' is empty"),
        (("a", " \n"), {}, "empty or only white space"),
        (("a", "b\ud800"), {}, "lone surrogate (U+D800 at character 1)"),
        (("a", "b", "a"), {}, "Texts 0 and 2 of the text set 'odd' are the same"),
        (("a", 3), {}, "is int, not a string"),
        (("a",), {"domains": ("x", "y")}, "1 texts but 2 domains"),
        (("a", "b"), {"weights": (1.0,)}, "2 texts but 1 weights"),
        (("a",), {"weights": (0.0,)}, "positive finite"),
        (("a",), {"weights": (float("nan"),)}, "positive finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(texts, options, told):
    with pytest.raises(InputError) as caught:
        TextSet("odd", texts, **options)
    assert told in str(caught.value)


def test_duplicates_can_be_allowed():
    assert len(TextSet("twice", ("a", "a"), allow_duplicates=True)) == 2


def test_weights_have_a_digest_of_their_own_and_count_in_the_mean_bytes():
    plain = TextSet("w", ("a", "bcd"))
    weighted = TextSet("w", ("a", "bcd"), weights=(3.0, 1.0))
    assert plain.digest == weighted.digest
    assert (plain.weights_digest, plain.weight_array) == (None, None)
    assert (plain.mean_bytes, weighted.mean_bytes) == (2.0, 1.5)
    data = struct.pack("<2d", 3.0, 1.0)
    assert weighted.weights_digest == hashlib.sha256(data).hexdigest()
