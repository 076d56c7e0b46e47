"""What axe-core finds on the pages, dark on a desk and light on a phone: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from tests.e2e.test_page import answered, drawn, opened, until
from tests.page_site import NASTY

axe = pytest.importorskip("selenium_axe_python", reason="axe-core is not installed")
pytestmark = pytest.mark.slow

SIZES = {"desk": (1280, 900), "phone": (390, 844)}


SCHEMES = {"desk": "dark", "phone": "light"}
"""What the system asks for: colours do not depend on the width, so that each is looked at once."""


@pytest.fixture(autouse=True)
def scheme(request, browser):
    """The colours that go with the size of the test, where it has one."""
    size = getattr(request.node, "callspec", None)
    asked = SCHEMES[size.params["size"]] if size and "size" in size.params else "light"
    features = [{"name": "prefers-color-scheme", "value": asked}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    yield
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(browser: Any) -> list[str]:
    """Rule and element of each; what a `details` hides is opened first."""
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
    )
    tool = axe.Axe(browser)
    tool.inject()
    found = tool.run()
    assert found["passes"]
    return [
        f"{of['id']}: {node['target']} ({node['failureSummary']})"
        for of in found["violations"]
        for node in of["nodes"]
    ]


def test_axe_does_find_what_is_wrong(browser, server):
    opened(browser, server)
    wrong = "<h1>x</h1><div role=img aria-label=x><a href=#>y</a></div>"
    browser.execute_script(f"document.querySelector('main').innerHTML = '{wrong}'")
    assert [of.partition(":")[0] for of in violations(browser)] == ["nested-interactive"]


@pytest.mark.parametrize("size", SIZES)
def test_lists_and_messages(browser, server, site, size):
    for state in (
        {},
        {"experiment": site.experiments["family"]},
        {"experiment": site.experiments["scored only"]},
        {"run": site.runs["deleted map"]},
        {"run": "no such run"},
    ):
        opened(browser, server, SIZES[size], **state)
        assert violations(browser) == [], state


@pytest.mark.parametrize("size", SIZES)
def test_a_map_with_two_points(browser, server, site, size):
    chosen = {"a": NASTY, "b": "child", "point": [NASTY, "child", "nobody"]}
    opened(browser, server, SIZES[size], run=site.runs["map"], **chosen)
    drawn(browser)
    answered(browser)
    until(browser, lambda b: b.find_element("id", "several-kl").get_attribute("data-rows"))
    until(browser, lambda b: b.find_element("id", "plot").get_attribute("data-members"))
    assert violations(browser) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "kind",
    ["trajectory", "monitor", "scale", "lineage", "gate", "quantization", "layers", "member"],
)
def test_the_other_views(browser, server, site, kind, size):
    opened(browser, server, SIZES[size], run=site.runs[kind])
    assert violations(browser) == []


@pytest.mark.parametrize("size", SIZES)
def test_the_self_contained_map(browser, site, size):
    root = MlflowClient(site.store).get_run(site.runs["map"]).info.artifact_uri
    width, height = SIZES[size]
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get((Path(urlsplit(root).path) / "modelmap" / "map.html").as_uri())
    drawn(browser)
    assert violations(browser) == []
