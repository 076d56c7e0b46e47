"""Scores that read their texts unlike each other: said wherever they meet."""

from __future__ import annotations

import pytest

import mlflow_modelmap as mm
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.reading import tell_of_unlike_reading


def _point(name, bos):
    return Point(name, name, name, "0" * 64, "", bos_applied=bos)


def _told(*points):
    said: list[str] = []
    tell_of_unlike_reading(points, said)
    return said


def test_the_fewer_are_named():
    (sentence,) = _told(_point("a", True), _point("b", False), _point("c", False))
    assert "('a' was scored with a BOS token, the others without)" in sentence
    (sentence,) = _told(_point("a", True), _point("b", False), _point("c", True))
    assert "('b' was scored without a BOS token, the others with)" in sentence


def test_nothing_is_said_where_all_do_alike_or_none_says():
    assert not _told(_point("a", True), _point("b", True))
    assert not _told(_point("a", False), _point("b", None))
    tell_of_unlike_reading([_point("a", True), _point("b", False)], None)


def test_a_comparison_and_a_map_say_it(store, tiny_models, texts):
    with_bos = mm.score(tiny_models("llama", bos=True), texts, name="with", progress=False)
    without = mm.score(tiny_models("gpt_neox"), texts, name="without", progress=False)
    told = mm.compare(with_bos.run_id, without.run_id)
    assert any("first token of each text" in notice for notice in told.notices)
    never = mm.score(
        tiny_models("llama", bos=True), texts, name="never", bos="never", progress=False
    )
    told = mm.compare(never.run_id, without.run_id)
    assert not any("first token" in notice for notice in told.notices)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({"eos": "always"}, {}, "eos_applied is true or false"),
        ({"tokens_from": "class"}, {}, "tokens_from is class or file"),
        (
            {"overlong": "window", "window_tokens": 16, "stride": 4},
            {"overlong": "window", "window_tokens": 16, "stride": 8},
            "stride is 4 or 8",
        ),
        ({"overlong": "window"}, {}, None),  # nothing was long enough
    ],
)
def test_other_ways_of_reading(store, tiny_model, texts, first, second, told):
    one = mm.score(tiny_model, texts, name="one", progress=False, **first)
    two = mm.score(tiny_model, texts, name="two", progress=False, **second)
    notices = mm.compare(one.run_id, two.run_id).notices
    assert [told in notice for notice in notices if "unlike each other" in notice] == (
        [True] if told else []
    )
