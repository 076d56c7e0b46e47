"""Models without a score are named, or scored, and stop nothing."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from tests.drivers.lineage.models import measure, rows
from tests.scored import write_score


def test_what_is_not_scored_is_named_and_the_rest_goes_on(family):
    family.version("team-new", score=False, tags={"base_model": "team-base"})
    found = measure()
    assert "1 model is not scored: 'team-new/1'." in found.notices
    assert rows(found).at["team-new/1", "verdict"] == "not measured"
    with pytest.raises(InputError, match=r"1 model is not scored yet \('team-new/1'\); say on"):
        measure(score=True)


def test_a_version_without_source_and_a_broken_one_stop_nothing(family, texts, tmp_path):
    family.version("team-bare", score=False, source="", tags={"base_model": "team-base"})
    (tmp_path / "empty").mkdir()
    family.version("team-empty", score=False, source=(tmp_path / "empty").as_uri())
    for label in ("team-base/1", "team-chat/1"):
        write_score(
            family.store, label, family.random.normal(-80, 5, len(texts)), np.full(len(texts), 40),
            model=f"models:/{label}", digest=texts.digest,
        )  # fmt: skip
    for label in ("team-code", "team-tool"):
        family.client.delete_registered_model(label)
    found = measure(score=True, texts=texts, progress=False)
    text = "\n".join(found.notices)
    assert "'team-bare/1' has no source" in text
    assert "'team-empty/1' could not be scored: " in text
    assert "scored on other texts" in text
    assert np.isfinite(rows(found).at["team-chat/1", "kl"])


@pytest.fixture
def with_code(tiny_model, tmp_path):
    """A factory of models that bring code, which notes on disk that it ran."""
    ran = tmp_path / "ran"
    code = f"""
import pathlib
pathlib.Path({str(ran)!r}).touch()
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

class Config(GPTNeoXConfig):
    model_type = "own_neox"

class Model(GPTNeoXForCausalLM):
    config_class = Config
"""

    def make(name):
        folder = tmp_path / name
        shutil.copytree(tiny_model, folder)
        (folder / "own.py").write_text(code, encoding="utf-8")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config |= {
            "model_type": "own_neox",
            "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return make, ran


def scored(models, texts, *labels):
    for label in labels:
        write_score(
            models.store, label, models.random.normal(-80, 5, len(texts)), texts.bytes,
            model=f"models:/{label}", digest=texts.digest,
        )  # fmt: skip


def test_code_of_a_parent_that_a_tag_names_is_never_run(models, texts, with_code):
    make, ran = with_code
    parent = make("parent")
    for name, tags in (("team-a", {"base_model": str(parent)}), ("team-b", {})):
        models.version(name, score=False, tags=tags)
    scored(models, texts, "team-a/1", "team-b/1")
    found = measure(score=True, texts=texts, progress=False, settings={"trust_remote_code": True})
    assert not ran.exists()
    (notice,) = (n for n in found.notices if "brings its own code" in n)
    typed = f"modelmap score --trust-remote-code --texts '{texts.name}' -- {parent}"
    assert typed in notice
    assert rows(found).at["team-a/1", "verdict"] == "not measured"


def test_trust_covers_the_versions_that_were_asked_for(models, texts, with_code):
    make, ran = with_code
    models.version("team-own", score=False, source=make("own").as_uri())
    models.version("team-b", score=False)
    models.version("team-c", score=False)
    scored(models, texts, "team-b/1", "team-c/1")
    refused = measure(score=True, texts=texts, progress=False)
    assert not ran.exists()
    assert any("'team-own/1' could not be scored" in notice for notice in refused.notices)
    measure(score=True, texts=texts, progress=False, settings={"trust_remote_code": True})
    assert ran.exists()
