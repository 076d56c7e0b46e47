"""What people write when they mean a model."""

from __future__ import annotations

import os

import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, REGISTRY, RUN, ModelReference

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("written", "kind", "name", "revision"),
    [
        ("gpt2", HUB, "gpt2", None),
        ("EleutherAI/pythia-410m", HUB, "EleutherAI/pythia-410m", None),
        ("EleutherAI/pythia-410m@step1000", HUB, "EleutherAI/pythia-410m", "step1000"),
        (f"org/name@{COMMIT}", HUB, "org/name", COMMIT),
        ("org/name@refs/pr/3", HUB, "org/name", "refs/pr/3"),
        ("org/name.v1-2_3", HUB, "org/name.v1-2_3", None),
        ("models:/name/1", REGISTRY, "models:/name/1", None),
        ("models:/a name/latest", REGISTRY, "models:/a name/latest", None),
        ("models:/name@champion", REGISTRY, "models:/name@champion", None),
        ("models:/m-0123abcd", REGISTRY, "models:/m-0123abcd", None),
        ("runs:/0123abcd/model", RUN, "runs:/0123abcd/model", None),
        ("runs:/0123abcd/checkpoints/step 8", RUN, "runs:/0123abcd/checkpoints/step 8", None),
    ],
)
def test_every_form(written, kind, name, revision):
    reference = ModelReference.parse(written)
    assert (reference.kind, reference.name, reference.revision) == (kind, name, revision)
    assert str(reference) == written
    assert ModelReference.parse(str(reference)) == reference


@pytest.mark.parametrize("folder", ["model", "org/name", "a b", "x@y", 'it\'s "odd"', "ünïcode"])
def test_a_directory_is_meant_if_it_is_there(tmp_path, monkeypatch, folder):
    (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for written in (folder, f"./{folder}/", tmp_path / folder):
        reference = ModelReference.parse(written)
        assert reference.kind == LOCAL
        assert reference.name == os.path.realpath(tmp_path / folder)


def test_a_directory_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert ModelReference.parse("~/model").name == os.path.realpath(tmp_path / "model")


def test_a_revision_may_stand_apart():
    assert ModelReference.parse("org/name", "main").revision == "main"
    assert ModelReference.parse("org/name@main", "main").revision == "main"
    assert ModelReference.parse("org/name", "").revision is None


@pytest.mark.parametrize(
    ("written", "revision", "told"),
    [
        ("", None, "No model was given"),
        ("  ", None, "No model was given"),
        ("org/name@", None, "ends in @"),
        ("org/name@a", "b", "names the revision 'a' and 'b'"),
        ("./nowhere", None, "no directory './nowhere'"),
        ("~/nowhere/at/all", None, "no directory"),
        ("/nowhere", None, "no directory '/nowhere'"),
        ("a/b/c", None, "no directory 'a/b/c'"),
        ("C:\\models\\x", None, "no directory"),
        ("org/na me", None, "is no model reference"),
        ("https://huggingface.co/org/name", None, "no directory"),
        ("models:/name", None, "models:/name/1"),
        ("models:/", None, "models:/name/1"),
        ("models:/a/b/c", None, "models:/name/1"),
        ("runs:/0123abcd", None, "runs:/RUN_ID/path"),
        ("models:/name/1", "main", "is not one"),
        ("runs:/0123abcd/model", "main", "is not one"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(written, revision, told):
    with pytest.raises(InputError) as caught:
        ModelReference.parse(written, revision)
    assert told in str(caught.value)


def test_a_file_is_no_model(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(InputError, match="is a file; give the directory"):
        ModelReference.parse(path)


def test_a_directory_has_no_revision(tmp_path):
    with pytest.raises(InputError, match="goes with a Hugging Face Hub model"):
        ModelReference.parse(tmp_path, "main")
