"""The interactive map in a real browser: opened as a file, and in a sandboxed frame as MLflow's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlflow_modelmap import build_map
from tests.own_store import own_store
from tests.scored import made_up, write_family, write_score

pytestmark = pytest.mark.slow
NASTY = "<script>alert(1)</script>"
SCREEN = (1100, 800)

ON_SCREEN = """
const plot = document.getElementById("plot"), wanted = arguments[0];
const row = JSON.parse(document.getElementById("data").textContent).names.indexOf(wanted);
const trace = plot.data.find((t) => t.customdata && t.customdata.includes(row));
const k = trace.customdata.indexOf(row), full = plot._fullLayout;
const box = plot.getBoundingClientRect();
return [box.left + full.xaxis._offset + full.xaxis.l2p(trace.x[k]),
        box.top + full.yaxis._offset + full.yaxis.l2p(trace.y[k])].map(Math.round);
"""


@pytest.fixture(scope="module")
def page(_empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a real map: two trajectories and one model with a nasty name."""
    folder = tmp_path_factory.mktemp("map")
    with own_store(_empty_store, folder) as store:
        write_family(store)
        values, size = made_up(5)
        nasty = values[2] + np.linspace(0.0, 20.0, len(size))
        write_score(store, NASTY, nasty, size, model_type="<img src=x onerror=alert(2)>")
        build_map(["test"], name=NASTY)
    return next((folder / "artifacts").rglob("map.html"))


def drawn(browser: Any, what: str = "") -> str:
    """Wait until the map is drawn (as `what`, such as pca3)."""
    from selenium.webdriver.support.ui import WebDriverWait

    def state(chrome: Any) -> str:
        found = chrome.find_element("id", "plot").get_attribute("data-drawn") or ""
        return found if not what or found == what else ""

    return WebDriverWait(browser, 30).until(state)


def opened(browser: Any, page: Path, size: tuple[int, int] = SCREEN) -> None:
    browser.get_log("browser")
    browser.set_window_size(*size)
    browser.get(page.as_uri())
    drawn(browser)


def errors(browser: Any) -> list[str]:
    return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]


def choose(browser: Any, identity: str) -> None:
    browser.find_element("css selector", f"label[for={identity}]").click()


def hover(browser: Any, name: str) -> str:
    """The text of the label that appears when the mouse rests on a point."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    actions = ActionChains(browser)
    x, y = browser.execute_script(ON_SCREEN, name)
    actions.w3c_actions.pointer_action.move_to_location(x - 3, y - 3)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    actions.perform()
    label = WebDriverWait(browser, 20).until(
        lambda chrome: chrome.execute_script(
            "return [...document.querySelectorAll('#plot .hoverlayer .hovertext')]"
            ".map((e) => e.textContent).join('')"
        )
    )
    return label


def test_it_loads_and_tells_of_a_point_on_hover(browser, page):
    opened(browser, page)
    label = hover(browser, "tiny seed 0 step 512")
    assert "tiny seed 0 step 512" in label
    assert "tiny-seed0, step 512" in label
    assert "gpt_neox, float32" in label
    assert "bits per byte" in label
    assert label.partition("bits/byte")[2].count(" ± ") == 3
    loaded = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert browser.execute_script(loaded) == []
    assert "tiny seed 0 step 4" in label
    assert errors(browser) == []


def test_dimensions_and_embedding_switch(browser, page):
    opened(browser, page)
    kinds = "return [...new Set(document.getElementById('plot').data.map((t) => t.type))]"
    title = "return document.getElementById('plot').layout.xaxis.title.text"
    assert drawn(browser) == "tsne2"
    assert browser.execute_script(title) == "t-SNE axis 1 (no unit)"
    choose(browser, "pca")
    drawn(browser, "pca2")
    assert browser.execute_script(title).startswith("PC 1, ")
    assert browser.execute_script(kinds) in (["scattergl"], ["scatter"])
    choose(browser, "three")
    drawn(browser, "pca3")
    assert browser.execute_script(kinds) == ["scatter3d"]
    choose(browser, "tsne")
    drawn(browser, "tsne3")
    choose(browser, "two")
    drawn(browser, "tsne2")
    assert errors(browser) == []


def test_trajectories_are_lines_that_can_be_left_out(browser, page):
    opened(browser, page)
    lines = (
        "return document.getElementById('plot').data"
        ".filter((t) => t.mode === 'lines').map((t) => t.x.filter((v) => v !== null).length)"
    )
    assert browser.execute_script(lines) == [5, 5]
    browser.find_element("id", "lines").click()
    assert browser.execute_script(lines) == []


def test_every_colouring_can_be_chosen(browser, page):
    from selenium.webdriver.support.ui import Select

    opened(browser, page)
    choice = Select(browser.find_element("id", "colour"))
    titles = [option.text for option in choice.options]
    assert titles == ["model type", "trajectory", "precision", "bits per byte"]
    names = (
        "return document.getElementById('plot')._fullData"
        ".filter((t) => t.visible === true && t.showlegend !== false).map((t) => t.name)"
    )
    for title in titles:
        choice.select_by_visible_text(title)
        drawn(browser)
        shown = browser.execute_script(names)
        if title == "trajectory":
            assert {"tiny-seed0", "tiny-seed1"} <= set(shown)
    bar = "return document.querySelectorAll('#plot .colorbar').length"
    assert browser.execute_script(bar) == 1
    assert errors(browser) == []


def test_names_with_markup_are_shown_and_not_run(browser, page):
    opened(browser, page)
    label = hover(browser, NASTY)
    assert NASTY in label
    assert "<img src=x onerror=alert(2)>" in label
    browser.find_element("id", "find").send_keys("alert")
    assert errors(browser) == []
    strange = "return document.querySelectorAll('img[src=x], #plot script').length"
    assert browser.execute_script(strange) == 0


def test_finding_a_name_says_how_many_there_are(browser, page):
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, page)
    browser.find_element("id", "find").send_keys("SEED 1")
    WebDriverWait(browser, 10).until(
        lambda chrome: chrome.find_element("id", "found").text == "5 of 11"
    )


def test_a_click_writes_everything_below_the_map(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains

    opened(browser, page)
    hover(browser, "tiny seed 1 step 2")
    ActionChains(browser).click().perform()
    details = browser.find_element("id", "details").text
    assert details.startswith("tiny seed 1 step 2")
    assert "nearest, KL in bits/byte" in details


def test_it_fits_a_phone(browser, page):
    opened(browser, page, (500, 820))
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.execute_script(wide)
    box = browser.find_element("id", "plot").rect
    assert box["height"] >= 300
    assert "bits per byte" in hover(browser, "tiny seed 0 step 512")


def test_it_works_in_a_sandboxed_frame_without_origin(browser, page, tmp_path):
    """As MLflow shows it: a blob in an iframe that may run scripts and nothing else."""
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<iframe sandbox='allow-scripts' style='width:900px;height:600px'></iframe><script>"
        "function show(text) { document.querySelector('iframe').src ="
        " URL.createObjectURL(new Blob([text], {type: 'text/html'})); }</script>"
    )
    browser.get(outer.as_uri())
    browser.get_log("browser")
    browser.execute_script("show(arguments[0])", page.read_text(encoding="utf-8"))
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    try:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(browser, 30).until(lambda chrome: chrome.find_elements("id", "plot"))
        drawn(browser)
        choose(browser, "three")
        drawn(browser, "tsne3")
    finally:
        browser.switch_to.default_content()
    assert errors(browser) == []
