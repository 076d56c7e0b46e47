"""Scores that read their texts unlike each other: said wherever they meet."""

from __future__ import annotations

from dataclasses import replace

import mlflow
import pytest

import mlflow_modelmap as mm
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.reading import (
    not_logged_yet,
    points_of_readings,
    readings,
    tell_of_unlike_reading,
)
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.scored import made_up, write_score


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


@pytest.mark.parametrize("settings", [{}, {"eos": "always"}, {"bos": "never"}])
def test_a_score_that_is_not_logged_yet_says_what_its_run_will(store, tiny_model, texts, settings):
    from mlflow_modelmap.drivers.score.score import score
    from mlflow_modelmap.scoring.engine.score_texts import score_texts
    from mlflow_modelmap.scoring.settings import ScoringSettings
    from tests.scoring.reckoning import files_in

    result = score_texts(files_in(tiny_model), texts, ScoringSettings(**settings))
    made = score(tiny_model, texts, progress=False, **settings)
    (logged,) = select_runs(run_ids=[made.run_id])
    here = not_logged_yet("here", result.provenance)
    assert here.bos_applied == logged.bos_applied is not None
    assert _told(here, logged) == []
    other = replace(here, bos_applied=not here.bos_applied, read_as={"modelmap.stride": "3"})
    assert len(_told(other, logged)) == 1 + bool("eos" in settings)


def test_the_ways_in_which_points_read_come_back_and_nonsense_is_none():
    points = [_point("a", True), _point("b", False), _point("c", False)]
    kept = readings(points)
    back = points_of_readings(kept, "the map")
    assert {point.name for point in back} == {"the map"}
    assert [point.bos_applied for point in back] == [True, False]
    without = points_of_readings(readings(points[1:]), "the map")
    assert "'d' was scored with" in _told(*without, _point("d", True))[0]
    for nonsense in (None, "", "[", "[1]", "{}", "[[true, null]]", '[[1, 2, "x"]]'):
        assert all(point.bos_applied is None for point in points_of_readings(nonsense, "m"))


def test_a_point_that_is_put_on_a_map_says_it(store):
    client = mlflow.MlflowClient(store)
    values, size = made_up(8)
    ids = [write_score(store, f"m{k}", row, size) for k, row in enumerate(values)]
    for run_id in ids:
        client.log_param(run_id, "modelmap.bos_applied", str(run_id != ids[-1]).lower())
    parent = mm.build_map(run_ids=ids[:6])
    like = mm.build_map(run_ids=ids[6:7], extend=parent.run_id)
    assert not [said for said in like.notices if "first token" in said]
    made = mm.build_map(run_ids=ids[7:], extend=like.run_id)
    (said,) = [said for said in made.notices if "first token" in said]
    assert "'the map' was scored with a BOS token, the others without" in said
    again = mm.build_map(run_ids=ids, extend=None)
    assert [said for said in again.notices if "first token" in said]
    assert set(made.notices) >= set(parent.notices)


def test_how_many_texts_were_long_is_no_way_of_reading(store):
    """Each model's own number of them used up the ways that a map keeps."""
    long = [_read(f"m{n}", str(n), bos=False) for n in range(1, 40)]
    written = readings([*long, _read("with", "3", bos=True)])
    assert written.count("modelmap.windowed") == 2
    before = points_of_readings(written, "the map's")
    assert len(_told(*before, _read("new", "7", bos=False))) == 1


def _read(name, windowed, bos):
    windows = {"modelmap.window_tokens": "512", "modelmap.stride": "256"}
    return replace(_point(name, bos), read_as={"modelmap.windowed": windowed, **windows})


def test_of_imported_vectors_only_what_is_known_is_said():
    imported = replace(_point("imported", None), row=3)
    scored = replace(_point("scored", True), read_as={"modelmap.eos_applied": "true"})
    served = replace(scored, tags={"modelmap.engine": "vllm"})
    assert not _told(imported, served)
    assert not _told(*points_of_readings(readings([imported]), "the map's"), served)
    with_bos = replace(imported, bos_applied=True)
    assert not _told(*points_of_readings(readings([with_bos]), "the map's"), served)
    old = _point("old", None)  # a score of a version that did not say it yet
    assert len(_told(old, served)) == 2


def test_readings_that_anybody_wrote_are_no_traceback():
    assert points_of_readings("[" * 100_000, "the map's") == []
