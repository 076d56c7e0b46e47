"""What Plotly draws is escaped in one place: no other script holds markup or writes any."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

OWN = files("mlflow_modelmap.figures.map")
PAGE = files("mlflow_modelmap.surfaces.server") / "static"
SCRIPTS = [
    entry
    for folder in (OWN, PAGE)
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
    if entry.name.endswith(".js")
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda entry: entry.name)
def test_only_the_hover_text_writes_markup(script):
    written = script.read_text(encoding="utf-8")
    writes = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function\("
    code = re.sub(r"//[^\n]*", "", written)
    assert not re.search(writes, code)
    if script.name != "hover_text.js":
        assert not re.search(r"</?(b|i|br|a|span|sub|sup|em)\b", code)
