"""The pictures of the README and docs: each made by `make images`, shown somewhere, and small."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"


@pytest.fixture(scope="module")
def make_images():
    spec = importlib.util.spec_from_file_location("make_images", ROOT / "docs" / "make_images.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_is_made_shown_and_small(make_images):
    made = {f"{name}.png" for study in make_images.STUDIES for name in study.pictures.values()}
    made |= {"page.png", "ui.png", *make_images.REAL_PICTURES}
    there = {path.name for path in IMAGES.iterdir()}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    written = "".join(page.read_text(encoding="utf-8") for page in pages)
    shown = set(re.findall(r"!\[[^\]]+\]\((?:docs/)?images/([^)]+)\)", written))
    assert made == there == shown
    assert max(path.stat().st_size for path in IMAGES.iterdir()) <= make_images.LARGEST


def test_pictures_without_a_store_are_refused_in_a_sentence(make_images, tmp_path, monkeypatch):
    monkeypatch.setattr(make_images, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(make_images, "ROOT", tmp_path)
    monkeypatch.setattr(make_images, "REAL_MODEL", tmp_path / "real")
    with pytest.raises(
        SystemExit, match=r"real_model.png, .* because real has none; run `make real"
    ):
        make_images.main(["real-model"])
    with pytest.raises(
        SystemExit, match=r"no part 'nothing'; name one of quickstart, screens, real"
    ):
        make_images.main(["nothing"])


def test_an_empty_store_is_refused_with_the_remedy(make_images, store):
    with pytest.raises(SystemExit, match=r"no experiment 'quickstart' in .*; run `make quick"):
        make_images.found("map")
