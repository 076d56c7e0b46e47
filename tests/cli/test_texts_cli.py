"""`modelmap texts build` and `modelmap texts describe`."""

from __future__ import annotations

import json

import pytest

from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.sources.python_docs import python_docs


@pytest.fixture
def modelmap(capsys, tmp_path, monkeypatch):
    """Runs the command line in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def test_build_then_describe(modelmap):
    code, out, _ = modelmap("texts", "build", "python-docs", "-o", "docs.jsonl", "--size", 40)
    assert code == 0
    digest = python_docs(40).digest
    assert read_texts("docs.jsonl").digest == digest
    assert f"digest      {digest}" in out
    code, out, _ = modelmap("texts", "describe", "docs.jsonl", "--json")
    described = json.loads(out)
    text_set = python_docs(40)
    assert described["texts"] == 40
    assert described["digest"] == digest
    assert described["bytes"] == text_set.bytes.sum()
    assert described["mean_bytes"] == pytest.approx(text_set.mean_bytes)
    assert described["name"] == "docs"
    assert sum(described["domains"].values()) == 40
    assert modelmap("texts", "describe", "docs.jsonl", "--quiet") == (0, digest + "\n", "")


def test_build_says_what_it_left_out(modelmap, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(["a", "", "a", "b"]))
    arguments = ("t.json", "-o", "out.json", "--drop-empty", "--duplicates", "drop")
    code, out, err = modelmap("texts", "build", *arguments, "--json")
    assert code == 0
    result = json.loads(out)
    assert (result["texts"], result["found"]) == (2, 4)
    assert (result["left_out"], result["dropped"]) == (1, 1)
    assert "of 4 texts, 1 empty or short ones and 1 duplicates were left out" in err
    assert json.loads((tmp_path / "out.json").read_text()) == ["a", "b"]


def test_an_empty_option_is_not_given(modelmap, tmp_path):
    (tmp_path / "t.json").write_text('["a", "b"]')
    empty = ("--size", "", "--chunk-bytes", "", "--column", "", "--dataset", "", "--seed", "")
    code, *_ = modelmap("texts", "build", "t.json", "-o", "o.jsonl", *empty)
    assert code == 0
    assert read_texts("o.jsonl").texts == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("build", "-o", "o.jsonl"), "No sources were given"),
        (("build", "nowhere.json", "-o", "o.jsonl"), "There is no text file 'nowhere.json'"),
        (("build", "python-docs", "-o", "o.txt"), "is written as .jsonl"),
        (("build", "python-docs", "-o", "o.jsonl", "--size", "0"), "A sample of 0 texts"),
        (("build", "python-docs", "-o", "o.jsonl", "--chunk-bytes", "2"), "Chunks of 2 bytes"),
        (("build", "--dataset", "x/y", "--rows", "0", "-o", "o.jsonl"), "--rows is 0"),
        (("describe", "nowhere.json"), "There is no text file"),
    ],
)
def test_a_failure_is_one_sentence_and_leaves_no_file(modelmap, tmp_path, arguments, told):
    code, out, err = modelmap("texts", *arguments)
    assert code == 1
    assert out == ""
    assert err.startswith("Error: ")
    assert told in err
    assert err.count("\n") == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"mlruns"}  # which MLflow 3.5 makes where it is asked for a text set's name


def test_a_duplicate_is_named_with_its_remedy(modelmap, tmp_path):
    (tmp_path / "t.json").write_text('["a", "a"]')
    code, _, err = modelmap("texts", "describe", "t.json")
    assert code == 1
    assert "--allow-duplicates" in err
    code, out, _ = modelmap("texts", "describe", "t.json", "--allow-duplicates")
    assert code == 0
    assert "duplicates  1" in out


def test_log_then_list_then_describe_by_name(modelmap, store):
    code, out, _ = modelmap("texts", "log", "python-docs:30", "--name", "docs 30")
    assert code == 0
    uri = out.split("--texts ")[1].split(",")[0]
    assert f"In the store: --texts {uri}, or --texts 'docs 30'" in out
    _, out, _ = modelmap("texts", "list")
    row = [one.strip() for one in out.splitlines()[1].split("  ") if one.strip()]
    assert (row[0], row[1], row[-1]) == ("docs 30", "30", uri)
    _, out, _ = modelmap("texts", "describe", "docs 30", "--json")
    assert json.loads(out)["digest"] == python_docs(30).digest
    assert json.loads(modelmap("texts", "list", "--json")[1])["text_sets"][0]["texts_uri"] == uri
