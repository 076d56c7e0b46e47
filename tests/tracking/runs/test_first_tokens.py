"""Scores of which only some hold the first token of a text: said wherever they meet."""

from __future__ import annotations

import mlflow_modelmap as mm
from mlflow_modelmap.tracking.runs.first_tokens import tell_of_first_tokens
from mlflow_modelmap.tracking.runs.point import Point


def _point(name, bos):
    return Point(name, name, name, "0" * 64, "", bos_applied=bos)


def _told(*points):
    said: list[str] = []
    tell_of_first_tokens(points, said)
    return said


def test_the_fewer_are_named():
    (sentence,) = _told(_point("a", True), _point("b", False), _point("c", False))
    assert "('a' was scored with a BOS token, the others without)" in sentence
    (sentence,) = _told(_point("a", True), _point("b", False), _point("c", True))
    assert "('b' was scored without a BOS token, the others with)" in sentence


def test_nothing_is_said_where_all_do_alike_or_none_says():
    assert not _told(_point("a", True), _point("b", True))
    assert not _told(_point("a", False), _point("b", None))
    tell_of_first_tokens([_point("a", True), _point("b", False)], None)


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
