"""The page of benchmarks is what the scripts print; parts that are not made again stay."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MAIN = 'if __name__ == "__main__":\n    '


@pytest.fixture
def page(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(DOCS))
    module = importlib.import_module("make_benchmarks")
    monkeypatch.setattr(module, "SCRIPTS", tmp_path)
    monkeypatch.setattr(module, "PAGE", tmp_path / "benchmarks.md")
    for name, body in {"fast": "print('3 times')", "slow": "print('2 times')"}.items():
        (tmp_path / f"{name}.py").write_text(f'"""How {name} it\nis.\n\nMore."""\n{MAIN}{body}\n')
    (tmp_path / "shared.py").write_text('"""For the others."""\n')
    return module


def test_parts_are_made_apart_and_the_others_stay(page, tmp_path):
    page.main(["slow"])
    assert "Not run for this page yet: `fast`.\n\n## slow" in page.PAGE.read_text()
    page.main([])
    assert "Not run" not in page.PAGE.read_text()
    (tmp_path / "fast.py").write_text(f'"""How fast it is."""\n{MAIN}print("4 times")\n')
    page.main(["fast"])
    text = page.PAGE.read_text()
    assert "4 times" in text
    assert "3 times" not in text
    assert "2 times" in text
    assert text.index("## fast") < text.index("How fast it is.") < text.index("## slow")
    assert "torch" in text
    assert "cores" in text


def test_a_script_that_fails_is_named_and_its_part_stays(page, tmp_path):
    page.main([])
    (tmp_path / "slow.py").write_text(f'{MAIN}raise ValueError("no room")\n')
    with pytest.raises(SystemExit, match="slow failed: ValueError: no room"):
        page.main([])
    assert "2 times" in page.PAGE.read_text()
    with pytest.raises(SystemExit, match="No benchmark 'quick'; there are fast, slow"):
        page.main(["quick"])
