"""What is written is read back the same, whole or not at all."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.texts.write import write_texts

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    texts=st.lists(WORDS, min_size=1, max_size=5, unique=True),
    name=st.sampled_from(["json", "jsonl"]),
)
def test_it_is_read_back_the_same(tmp_path, texts, name):
    path = write_texts(TextSet("t", tuple(texts)), tmp_path / f"t.{name}")
    assert read_texts(path) == TextSet("t", tuple(texts))


def test_domains_and_weights_come_back(tmp_path):
    text_set = TextSet("t", ("a", "b"), ("x", "y"), (1.0, 0.25))
    assert read_texts(write_texts(text_set, tmp_path / "new" / "t.jsonl")) == text_set


def test_the_formats_are_the_authors(tmp_path):
    text_set = TextSet("t", ("é", "b\n"))
    assert json.loads(write_texts(text_set, tmp_path / "t.json").read_text("utf-8")) == ["é", "b\n"]
    lines = write_texts(text_set, tmp_path / "t.jsonl").read_text("utf-8").splitlines()
    assert lines == ['{"text": "é"}', '{"text": "b\\n"}']


def test_a_list_has_no_room_for_domains(tmp_path):
    with pytest.raises(InputError, match=r"no room for the prompts, domains .* write to \.jsonl"):
        write_texts(TextSet("t", ("a",), ("x",)), tmp_path / "t.json")


@pytest.mark.parametrize("name", ["t.txt", "t", "t.parquet", "folder.jsonl"])
def test_other_names_are_refused(tmp_path, name):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match=r"is written as \.jsonl"):
        write_texts(TextSet("t", ("a",)), tmp_path / name)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = write_texts(TextSet("t", ("a",)), tmp_path / "t.jsonl")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left"):
        write_texts(TextSet("t", ("b",)), path)
    assert read_texts(path).texts == ("a",)
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]
