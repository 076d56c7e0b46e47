"""Rows of a Hugging Face dataset, read by the real package where it is installed."""

from __future__ import annotations

import json
import sys

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.build import build_texts
from mlflow_modelmap.texts.sources.hub_dataset import read_dataset


@pytest.fixture
def dataset(tmp_path):
    """A dataset in a folder, as the Hub would lay it out."""
    pytest.importorskip("datasets")
    rows = [{"text": f"text {n}", "meta": {"pile_set_name": f"d{n % 2}"}} for n in range(9)]
    (tmp_path / "data").mkdir()
    for split, part in (("train", rows[:6]), ("test", rows[6:])):
        path = tmp_path / "data" / f"{split}.jsonl"
        path.write_text("\n".join(map(json.dumps, part)))
    return str(tmp_path)


def test_rows_come_in_order_with_their_domains(dataset):
    records = list(read_dataset(dataset))
    assert [record.text for record in records] == [f"text {n}" for n in range(6)]
    assert [record.domain for record in records[:2]] == ["d0", "d1"]
    assert records[5].where == f"{dataset} (train), row 5"
    assert [record.text for record in read_dataset(dataset, split="test", rows=2)] == [
        "text 6",
        "text 7",
    ]


def test_a_text_set_is_built_from_rows(dataset):
    built = build_texts(rows=read_dataset(dataset), chunk_bytes=4, duplicates="drop")
    assert built.text_set.texts == ("text", *(f" {n}" for n in range(6)))


def test_what_cannot_be_read_is_said(dataset):
    with pytest.raises(InputError, match=r"split 'validation'\) cannot be read"):
        list(read_dataset(dataset, split="validation"))
    with pytest.raises(InputError, match=r"row 0: there is no 'body', only 'text', 'meta'"):
        list(read_dataset(dataset, column="body"))


def test_a_dataset_that_is_not_there(dataset, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"The dataset '\./nowhere' .* cannot be read") as caught:
        list(read_dataset("./nowhere"))
    assert "\n" not in str(caught.value)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'mlflow-modelmap\[datasets\]'"):
        list(read_dataset("org/name"))
