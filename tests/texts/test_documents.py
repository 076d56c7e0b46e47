"""Texts know the document that they are a piece of, from every source to the file and back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.texts.build import build_texts
from mlflow_modelmap.texts.describe import describe
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.sample import sample
from mlflow_modelmap.texts.sources.python_docs import python_docs
from mlflow_modelmap.texts.write import write_texts


def words(start, count=300):
    return " ".join(f"word{start + k}" for k in range(count))


def test_files_of_a_folder_are_documents(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text(words(0))
    (tmp_path / "sub" / "b.txt").write_text(words(1000))
    texts = read_texts(tmp_path)
    assert set(texts.documents) == {"a.txt", "sub/b.txt"}
    assert texts.document_codes.tolist() == [d == "sub/b.txt" for d in texts.documents]
    assert describe(texts).documents == texts.independent == 2


def test_a_file_alone_may_be_a_corpus_and_beside_others_is_a_document(tmp_path):
    for name, start in (("a", 0), ("b", 5000)):
        (tmp_path / f"{name}.txt").write_text(words(start))
    assert read_texts(tmp_path / "a.txt").documents is None
    both = build_texts([tmp_path / "a.txt", tmp_path / "b.txt"]).text_set
    assert set(both.documents) == {"a", "b"}


def test_rows_that_are_cut_are_documents_and_named_ones_stay(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": words(0)}, {"text": "short"}, {"text": words(9000), "document": "x"}]
    path.write_text("".join(json.dumps(row) + chr(10) for row in rows))
    assert read_texts(path).documents == (None, None, "x")
    cut = build_texts([path], chunk_bytes=1024).text_set
    assert set(cut.documents) == {"rows.jsonl, line 1", None, "x"}
    assert cut.documents.count(None) == 1
    assert cut.independent == 3


def test_a_column_of_a_table_names_documents(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "document": ["p", "q", "p"]})
    frame.to_csv(tmp_path / "t.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert read_texts(tmp_path / name).documents == ("p", "q", "p")


def test_a_sample_and_a_file_keep_documents_and_the_digest_does_not_feel_them(tmp_path):
    texts = python_docs()
    assert 1 < texts.independent < len(texts)
    assert all(d.startswith(g) for d, g in zip(texts.documents, texts.domains, strict=True))
    part = sample(texts, 50)
    assert dict(zip(texts.texts, texts.documents, strict=True))[part.texts[7]] == part.documents[7]
    back = read_texts(write_texts(part, tmp_path / "part.jsonl"))
    assert back.documents == part.documents
    assert back.digest == part.digest == TextSet("plain", part.texts).digest


def test_codes_go_by_first_appearance():
    codes = TextSet("t", ("a", "b", "c", "d"), documents=("z", None, "y", "z")).document_codes
    assert np.array_equal(codes, [0, -1, 1, 0])


def test_what_is_no_document_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a", "document": ["x"]}))
    with pytest.raises(InputError, match=r"line 1: the document .* is no name or number"):
        read_texts(path)
    with pytest.raises(InputError, match="2 texts but 1 documents"):
        TextSet("t", ("a", "b"), documents=("x",))
