"""Which entry belongs to which token, in every form that servers answer in."""

import numpy as np
import pytest

from mlflow_modelmap.scoring.served.alignment import NotTheseTokens, Spelling, aligned
from mlflow_modelmap.scoring.served.answers import (
    Answer,
    Entry,
    NoLogLikelihoods,
    completion_answer,
    generate_answer,
)

WORDS = ["<s>", "The", " cat", " sat", "▁on", "\ufffd"]
IDS = np.array([0, 1, 2, 3])


class Tokenizer:
    def decode(self, ids, **_):
        return WORDS[ids[0]].replace("▁", " ")

    def convert_ids_to_tokens(self, token_id):
        return WORDS[token_id]

    def encode(self, text, add_special_tokens):
        assert not add_special_tokens
        return [WORDS.index(text)] if text in WORDS else [1, 2]


def entries(*pairs):
    return tuple(Entry(value, token) for value, token in pairs)


ALL = entries((None, "<s>"), (-1.0, "The"), (-2.0, " cat"), (-3.0, " sat"))


def values(answer, ids=IDS, has_bos=True, takes_tokens=True):
    return aligned(answer, ids, Spelling(Tokenizer()), has_bos=has_bos, takes_tokens=takes_tokens)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(ALL, 0),
        Answer(ALL, None),
        Answer(ALL, 1),  # the made token is counted and not shown
        Answer((*ALL, Entry(-9.0, " mat")), 1),
        Answer((*ALL, Entry(-9.0, " mat")), None),
        Answer(tuple(Entry(e.log_likelihood, None, i) for i, e in enumerate(ALL)), 0),
    ],
)
def test_all_tokens_have_their_own_value(answer):
    found, prefixed = values(answer)
    np.testing.assert_array_equal(found, [-1, -2, -3])
    assert not prefixed


def test_a_bos_left_out_and_the_first_value_with_it():
    found, _ = values(Answer(entries((None, "The"), (-2.0, " cat"), (-3.0, " sat")), 1))
    np.testing.assert_array_equal(found, [np.nan, -2, -3])


def test_a_bos_put_first():
    found, prefixed = values(Answer(ALL, 0), IDS[1:], has_bos=False, takes_tokens=False)
    np.testing.assert_array_equal(found, [-2, -3])
    assert prefixed
    with pytest.raises(NotTheseTokens, match="5 entries for 3 tokens"):
        values(Answer(ALL[:1] + ALL, 0), IDS[1:], has_bos=False)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(ALL[:2], 0), "2 entries for 4 tokens"),
        (Answer(ALL[:1] + ALL[2:], 0), "where 'The' was meant"),
        (Answer(tuple(Entry(-1.0) for _ in range(4)), 1), "entries for 4 tokens"),
        (Answer((ALL[0], ALL[2], ALL[1], ALL[3]), 0), "its token 1 is ' cat'"),
        (Answer(tuple(Entry(-1.0, None, 3) for _ in range(4)), 0), "token 0 is 'token 3'"),
    ],
)
def test_other_tokens(answer, sentence):
    with pytest.raises(NotTheseTokens, match=sentence):
        values(answer)


def test_what_cannot_be_told_apart_is_no_difference():
    spelling = Spelling(Tokenizer())
    assert not spelling.says_other(Entry(-1.0, "\ufffd"), 5)
    assert not spelling.says_other(Entry(-1.0, "bytes:\\xe2"), 5)
    assert not spelling.says_other(Entry(-1.0, "on"), 4)  # the space before it is not shown
    assert not spelling.says_other(Entry(-1.0, "Ġcat"), 2)
    assert spelling.says_other(Entry(-1.0, "Ġdog"), 2)
    assert spelling.alone(" cat") == 2
    assert spelling.alone("a cat") is None


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"token_logprobs": []}}]},
        {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": -1}]}}]},
        {"choices": "text"},
    ],
)
def test_an_answer_without_values(said):
    with pytest.raises(NoLogLikelihoods, match="token_logprobs"):
        completion_answer(said)
    with pytest.raises(NoLogLikelihoods, match="input_token_logprobs"):
        generate_answer(said)


def test_values_that_are_none():
    said = {"choices": [{"logprobs": {"token_logprobs": [None, True, "x", -1]}}]}
    found = [entry.log_likelihood for entry in completion_answer(said).entries]
    assert found == [None, None, None, -1.0]
