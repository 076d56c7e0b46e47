"""Surface: the files of the page, under an address that changes whenever one of them does."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
SHARED = (
    *("value_and_error.js", "log_ticks.js", "look.js", "hover_text.js", "map_names.js"),
    *("map_axes.js", "map_points.js", "map_drawing.js"),
    "map_controls.css",
)
"""Of `figures.map`: what the self-contained page draws with; the scripts go out as one file."""
_FACTORY = ('} (typeof self !== "undefined" ? self : this, () => {', "}));")
"""How plotly.js begins and ends: a function that is called at once, which no browser can tell."""


@dataclass(frozen=True)
class Asset:
    """One file: its bytes, what they are, and the same bytes compressed."""

    data: bytes
    type: str
    packed: bytes = field(repr=False)


@cache
def assets() -> dict[str, Asset]:
    """All files by name; nothing else can be asked for, so no path leads out of them."""
    from plotly.offline import get_plotlyjs

    own = files("mlflow_modelmap.surfaces.server") / "static"
    found = {
        entry.name: entry.read_bytes()
        for entry in own.iterdir()
        if entry.name.rpartition(".")[2] in TYPES
    }
    shared = {name: (files("mlflow_modelmap.figures.map") / name).read_bytes() for name in SHARED}
    found |= {name: data for name, data in shared.items() if not name.endswith(".js")}
    found["drawing.js"] = b"".join(of for name, of in shared.items() if name.endswith(".js"))
    found["plotly.min.js"] = _called_at_once(get_plotlyjs()).encode("utf-8")
    return {name: _asset(name, found[name]) for name in sorted(found)}


def _called_at_once(script: str) -> str:
    """plotly.js in brackets that browsers take as a hint to compile it while it arrives, once."""
    begin, end = _FACTORY
    head, found, body = script.partition(begin)
    if not found or not body.endswith(end):
        return script  # of another version: it is as good, but slower
    inner = body.removesuffix(end)
    return f"{head}{begin.replace('() => {', '(function () {')}{inner}}})));"


def _asset(name: str, data: bytes) -> Asset:
    return Asset(data, TYPES[name.rpartition(".")[2]], gzip.compress(data, 6, mtime=0))


@cache
def version() -> str:
    """A hash over all files, the same in every worker."""
    digest = hashlib.sha256()
    for name, asset in assets().items():
        digest.update(name.encode() + b"\0" + asset.data + b"\0")
    return digest.hexdigest()[:16]


@cache
def page() -> bytes:
    """The page's HTML, which holds no data; where its files lie is filled in."""
    return _filled("page.html", "static/")


@cache
def not_found(up: str) -> bytes:
    """The same for an address that is none of the page's; `up` leads to the page (``../``)."""
    return _filled("not_found.html", f"{up}static/").replace(b"{{up}}", up.encode() or b"./")


def _filled(name: str, static: str) -> bytes:
    html = files("mlflow_modelmap.surfaces.server").joinpath("static", name).read_text("utf-8")
    loads = (f'<link rel="modulepreload" href="{{{{static}}}}/{of}">\n' for of in modules())
    html = html.replace("{{modules}}", "".join(loads))
    return html.replace("{{static}}", f"{static}{version()}").encode("utf-8")


@cache
def modules() -> list[str]:
    """What ``main.js`` imports at once, and what that does: a browser would ask in three steps."""
    found: set[str] = set()
    waiting = ["main.js"]
    while waiting:
        text = assets()[waiting.pop()].data.decode("utf-8")
        new = set(re.findall(r'from "\./([\w.]+)"', text)) - found
        found |= new
        waiting += new
    return sorted(found)
