"""The texts of points are those that were scored, or refused with both digests."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.drivers.study.texts_of_points import read_texts_of
from mlflow_modelmap.tracking.runs.point import Point


def scored_on(texts: TextSet) -> Point:
    return Point("0" * 32, "a", "a", texts.digest, "", text_set_name=texts.name)


def test_they_are_taken_as_they_are_or_read(texts, text_file):
    assert read_texts_of(texts, scored_on(texts)) is texts
    assert read_texts_of(text_file, scored_on(texts)).texts == texts.texts


def test_texts_that_occur_twice_are_read_as_they_were_scored(tmp_path):
    twice = TextSet("twice", ("the same", "the same"), allow_duplicates=True)
    path = tmp_path / "twice.json"
    path.write_text('["the same", "the same"]')
    assert read_texts_of(path, scored_on(twice)).texts == twice.texts


def test_others_are_refused(texts):
    other = TextSet("other", ("a", "b"))
    message = rf"'other' \(digest {other.digest[:12]}\).*short texts, digest {texts.digest[:12]}"
    with pytest.raises(InputError, match=message):
        read_texts_of(other, scored_on(texts))
