"""The built-in text set: no download, deterministic, apart from its training corpus."""

from __future__ import annotations

import ast
import inspect
import platform
import subprocess
import sys
import textwrap

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.build import build_texts
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.sources.python_docs import _DOCSTRING, python_docs, python_docs_corpus


def test_its_size():
    text_set = python_docs()
    assert len(text_set) >= 250
    assert 980 < text_set.mean_bytes <= 1024
    assert text_set.bytes.min() >= 768
    assert set(text_set.domains) == {"reference", "library"}
    assert text_set.name == f"python-docs-{platform.python_version()}"


def test_no_text_was_trained_on():
    corpus = "\n".join(python_docs_corpus())
    assert len(corpus) > 1_000_000
    for text in python_docs().texts:
        third = len(text) // 3
        assert not any(text[at : at + third] in corpus for at in (0, third, 2 * third))


def test_another_process_finds_the_same():
    code = (
        "import hashlib\n"
        "from mlflow_modelmap.texts.sources.python_docs import python_docs, python_docs_corpus\n"
        "print(python_docs(50).digest)\n"
        "print(hashlib.sha256(chr(0).join(python_docs_corpus()).encode()).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert found.pop().startswith(python_docs(50).digest)


def test_sizes_and_seeds():
    assert len(python_docs(20)) == 20
    assert python_docs(20) == python_docs(20, seed=0) != python_docs(20, seed=1)
    assert set(python_docs(20).texts) < set(python_docs().texts)
    with pytest.raises(InputError, match="there are only"):
        python_docs(10**6)


def test_by_its_word():
    assert read_texts("python-docs").digest == python_docs().digest
    small = read_texts("python-docs:30")
    assert small == python_docs(30)
    assert build_texts(["python-docs"], size=30).text_set.digest == small.digest
    with pytest.raises(InputError, match="names no number of texts"):
        read_texts("python-docs:many")


def test_a_folder_of_that_name_is_meant_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "python-docs").mkdir()
    (tmp_path / "python-docs" / "a.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert read_texts("./python-docs").texts == ("mine",)


@pytest.mark.parametrize("module", [textwrap, ast, subprocess], ids=lambda m: m.__name__)
def test_docstrings_are_those_that_the_parser_finds(module):
    source = inspect.getsource(module)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    parsed = {doc for node in nodes if (doc := ast.get_docstring(node)) and "\\" not in doc}
    found = {inspect.cleandoc(text) for _, text in _DOCSTRING.findall(source)}
    assert len(parsed & found) >= 0.9 * len(parsed)
    assert len(found - parsed) <= 0.2 * len(found) + 1
