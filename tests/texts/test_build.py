"""Building a text set: several sources, chunks, what is left out, a sample."""

from __future__ import annotations

import json

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.build import build_texts
from mlflow_modelmap.texts.chunk import chunk
from mlflow_modelmap.texts.sources.record import Record


@pytest.fixture
def write(tmp_path):
    def to_file(name, texts):
        path = tmp_path / name
        path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
        return path

    return to_file


def test_sources_come_in_order_and_name_their_domains(write):
    built = build_texts([write("one.jsonl", ["b", "a"]), write("two.jsonl", ["c"])], name="both")
    assert built.text_set.texts == ("b", "a", "c")
    assert built.text_set.domains == ("one", "one", "two")
    assert built.text_set.name == "both"
    assert build_texts([write("one.jsonl", ["b", "a"])]).text_set.domains is None


def test_records_are_cut_only_if_asked(write):
    long = "x" * 2000
    assert build_texts([write("t.jsonl", [long])]).text_set.texts == (long,)
    cut = build_texts([write("t.jsonl", [long])], chunk_bytes=600, duplicates="drop")
    assert cut.text_set.texts == ("x" * 600, "x" * 200)
    assert (cut.found, cut.duplicates) == (4, 2)


def test_raw_text_is_cut_as_asked(tmp_path):
    raw = "".join(f"word{number} " for number in range(500))
    (tmp_path / "t.txt").write_text(raw)
    built = build_texts([tmp_path / "t.txt"], chunk_bytes=100)
    assert list(built.text_set.texts) == chunk(raw, 100)


def test_empty_texts_are_refused_or_left_out(write):
    path = write("t.jsonl", ["a", "", "  ", "b"])
    with pytest.raises(InputError, match=r"t\.jsonl, line 2: the text is empty"):
        build_texts([path])
    for size in (None, 10):
        built = build_texts([path], drop_empty=True, chunk_bytes=size)
        assert built.text_set.texts == ("a", "b")
        assert (built.found, built.left_out) == (4, 2)
        with pytest.raises(InputError, match="the text is empty"):
            build_texts([path], chunk_bytes=10)


def test_short_texts_are_left_out(write):
    built = build_texts([write("t.jsonl", ["abcd", "é", "abc"])], min_bytes=3)
    assert built.text_set.texts == ("abcd", "abc")


def test_duplicates(write):
    sources = [write("one.jsonl", ["a", "b", "a"]), write("two.jsonl", ["b", "c"])]
    with pytest.raises(InputError, match=r"one\.jsonl, line 3: .* same as that of .*line 1"):
        build_texts(sources)
    dropped = build_texts(sources, duplicates="drop")
    assert dropped.text_set.texts == ("a", "b", "c")
    assert dropped.duplicates == 2
    kept = build_texts(sources, duplicates="keep")
    assert kept.text_set.texts == ("a", "b", "a", "b", "c")
    with pytest.raises(InputError, match="'no'; choose one of error, drop, keep"):
        build_texts(sources, duplicates="no")


def test_the_sample_is_of_what_is_kept(write):
    path = write("t.jsonl", ["a", "a", *"bcdef"])
    built = build_texts([path], duplicates="drop", size=6)
    assert built.text_set.texts == tuple("abcdef")
    with pytest.raises(InputError, match="there are only 6"):
        build_texts([path], duplicates="drop", size=7)


def test_a_lone_surrogate_in_raw_rows_is_named():
    with pytest.raises(InputError, match="row 0: the text holds a lone surrogate"):
        build_texts(rows=[Record("x\ud800", "row 0")], chunk_bytes=100)


def test_nothing_left_is_an_error(write):
    with pytest.raises(InputError, match=r"hold no texts \(2 empty or too short ones"):
        build_texts([write("t.jsonl", ["", "a"])], drop_empty=True, min_bytes=9)
