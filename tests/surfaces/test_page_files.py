"""The page's files: whoever looks for a view finds what it is told by the same name."""

from __future__ import annotations

import re
from importlib.resources import files

import plotly
import pytest
from packaging.version import Version

from mlflow_modelmap.surfaces.server import assets

STATIC = files("mlflow_modelmap.surfaces.server") / "static"
SERVER_SIDE = {"__init__", "cache", "json_values", "map_kl", "opened"}
"""Of drivers/page: no payloads, or what all of them share."""
PARTS = {
    "pair": "pair_panel.js",
    "exact": "pair_panel.js",
    "members": "map_view.js",
    "several": "several_panel.js",
}
"""Payloads that a part of another view shows."""


def payloads() -> list[str]:
    found = {path.name for path in files("mlflow_modelmap.drivers.page").iterdir()}
    return sorted({name[:-3] for name in found if name.endswith(".py")} - SERVER_SIDE)


@pytest.mark.parametrize("payload", payloads())
def test_a_payload_and_its_view_have_one_name(payload):
    name = PARTS.get(payload, f"{payload}_view.js")
    assert (STATIC / name).is_file()


def test_every_script_that_is_asked_for_is_there():
    there = assets.assets()
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    asked = set(re.findall(r"\{\{static\}\}/([\w.]+)", page))
    for name, asset in there.items():
        if name.endswith(".js") and name != "plotly.min.js":
            text = asset.data.decode("utf-8")
            asked |= set(re.findall(r'(?:from |import\()"\./([\w.]+)"', text))
    assert {"gate_view.js", "map_view.js", "drawing.js"} <= asked <= set(there)


@pytest.mark.skipif(
    Version(plotly.__version__) < Version("6"), reason="another plotly.js, served as it is"
)
def test_the_drawing_library_is_compiled_once():
    """Of another plotly.js it would be served as it is, and nobody would see why it is slower."""
    script = assets.assets()["plotly.min.js"].data.decode("utf-8")
    assert re.search(r"\(function \(\) \{\s*\"use strict\"; ?var Plotly=", script)
    assert script.endswith("return Plotly;\n})));")


def test_a_map_waits_for_no_chain_of_files():
    """What the page's modules import is named in the page; views that are not shown are not."""
    page = assets.page().decode("utf-8")
    loads = set(re.findall(r'modulepreload" href="static/\w+/([\w.]+)"', page))
    assert {"map_view.js", "pair_panel.js", "combobox.js"} <= loads
    assert not loads & {"main.js", "gate_view.js"}


def test_notices_are_shown_above_every_view_and_by_none_of_them():
    """One place shows them for all kinds, so that no kind can forget them."""
    showing = [
        name
        for name, asset in assets.assets().items()
        if name.endswith(".js") and b"notices(head.notices)" in asset.data
    ]
    assert showing == ["main.js"]
