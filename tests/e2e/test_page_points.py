"""What a reader does with points and tables of the page: reach, go back, choose several, keep."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mlflow
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from mlflow_modelmap import load_map
from tests.e2e.test_page import (
    ON_SCREEN,
    answered,
    api,
    at,
    complaints,
    content,
    drawn,
    opened,
    until,
)

pytestmark = pytest.mark.slow

# What the page would save, in place of the dialogue of a browser.
CAUGHT = """
window.caught = [];
const make = URL.createObjectURL;
URL.createObjectURL = (blob) => { window.caught.push(blob); return make.call(URL, blob); };
HTMLAnchorElement.prototype.click = function () { window.caughtName = this.download; };
"""
LAST = (
    "const done = arguments[0]; window.caught[window.caught.length - 1].text()"
    ".then((text) => done([window.caughtName, text]))"
)
ROWS = (
    "return document.getElementById('plot').data.filter((t) => t.customdata "
    "&& t.visible !== 'legendonly').flatMap((t) => t.customdata)"
)


@pytest.fixture
def names(browser, server, site) -> list[str]:
    """The map's points, whose page is open."""
    opened(browser, server, run=site.runs["map"])
    drawn(browser)
    until(browser, lambda b: b.find_element("id", "plot").get_attribute("data-members"))
    return api(server, "run", run_id=site.runs["map"])["data"]["names"]


def of_address(browser: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.current_url).query)


def kept(browser: Any) -> tuple[str, list[list[str]]]:
    """Name and rows of the CSV that was saved last."""
    name, text = browser.execute_async_script(LAST)
    return name, list(csv.reader(io.StringIO(text)))


def choose(browser: Any, field: str, title: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", field)).select_by_visible_text(title)


def test_points_under_one_another_are_listed_and_reached(browser, server, site, names):
    # Far out, all of the map lies within a marker.
    browser.execute_script(
        "Plotly.relayout('plot', {'xaxis.range': [-1e5, 1e5], 'yaxis.range': [-1e5, 1e5]})"
    )
    at(browser, 5, click=True)
    until(browser, lambda b: b.find_element("id", "point-a").get_attribute("value"))
    listed = browser.find_elements("css selector", "#under button")
    chosen = browser.find_element("id", "point-a").get_attribute("value")
    assert {of.text for of in listed} == set(names) - {chosen}
    other = next(of for of in listed if of.text == "child")
    other.click()
    assert browser.find_element("id", "point-a").get_attribute("value") == "child"
    assert complaints(browser) == []


def test_the_label_is_beside_and_tells_of_what_lies_under(browser, server, site, names):
    at(browser, names.index("tiny seed 1 step 3000"))
    until(browser, lambda b: b.find_element("id", "hovered").is_displayed())
    box, plot = (browser.find_element("id", of).rect for of in ("hovered", "plot"))
    assert box["x"] >= plot["x"] + plot["width"]
    told = browser.find_element("id", "hovered").text
    assert "tiny seed 1 step 3000" in told
    assert told.count(" ± ") == 3 + 1  # the heading names what stands behind the sign


def test_unknown_points_of_a_link_are_said(browser, server, site):
    opened(browser, server, run=site.runs["map"], a="nobody <b>", b="child", colour="tag:no")
    drawn(browser)
    until(browser, lambda b: "tag:no" in b.find_element("id", "unknown").text)
    assert "names the point nobody <b>, which is not on" in content(browser)
    assert browser.find_element("id", "point-b").get_attribute("value") == "child"


def test_back_goes_back_one_choice(browser, server, site, names):
    first, second = names.index("tiny seed 0 step 1000"), names.index("tiny seed 1 step 11000")
    at(browser, first, click=True)
    at(browser, second, click=True)
    answered(browser)
    choose(browser, "colour", "precision")
    assert of_address(browser)["colour"] == ["precision"]
    browser.back()
    until(browser, lambda b: b.find_element("id", "colour").get_attribute("value") != "precision")
    assert browser.find_element("id", "point-b").get_attribute("value") == names[second]
    browser.back()
    until(browser, lambda b: b.find_element("id", "point-b").get_attribute("value") == "")
    assert browser.find_element("id", "point-a").get_attribute("value") == names[first]
    browser.forward()
    until(browser, lambda b: b.find_element("id", "point-b").get_attribute("value") != "")
    assert complaints(browser) == []


def test_a_neighbour_is_one_click_away(browser, server, site, names):
    row = names.index("tiny seed 0 step 1000")
    at(browser, row, click=True)
    near = until(browser, lambda b: b.find_elements("css selector", "#facts .nearest button"))
    name = near[0].text
    near[0].click()
    assert answered(browser).startswith("KL = ")
    assert browser.find_element("id", "point-b").get_attribute("value") == name


def test_several_points_and_their_matrix_in_words_and_as_csv(browser, server, site, names):
    browser.execute_script(CAUGHT)
    wanted = ["tiny seed 0 step 1000", "tiny seed 1 step 11000", "child"]
    for name in wanted:
        x, y = browser.execute_script(ON_SCREEN, names.index(name))
        actions = ActionChains(browser).key_down(Keys.SHIFT)
        actions.w3c_actions.pointer_action.move_to_location(x - 3, y - 3)
        actions.w3c_actions.pointer_action.move_to_location(x, y)
        actions.click().key_up(Keys.SHIFT).perform()
    until(
        browser,
        lambda b: (
            (b.find_element("id", "several-kl").get_attribute("data-rows") or "").count(",") == 2
        ),
    )
    assert of_address(browser)["point"] == wanted
    mlflow.set_tracking_uri(site.store)
    loaded = load_map(site.runs["map"])
    buttons = browser.find_elements("css selector", "#several-kl .keep button")
    buttons[0].click()
    name, rows = kept(browser)
    assert name.endswith("KL-matrix.csv")
    assert rows[0][:4] == ["point", *wanted]
    measured = np.array([row[1:4] for row in rows[1:]], dtype=float)
    assert np.array_equal(measured, loaded.kl.loc[wanted, wanted].to_numpy())
    buttons[1].click()
    _, pairs = kept(browser)
    assert pairs[0] == [
        *("Point", "Other point", "KL", "standard error"),
        *("95 % interval, low", "95 % interval, high", "In words"),
    ]
    for one, other, kl, se, low, high, words in pairs[1:]:
        assert (float(kl), float(se)) == loaded.between(one, other)
        rows = {"a": names.index(one), "b": names.index(other)}
        alone = api(server, "pair", run_id=site.runs["map"], **rows)
        assert [float(low), float(high), words] == [alone[of] for of in ("low", "high", "words")]
    assert complaints(browser) == []


def test_a_lasso_chooses_what_is_within(browser, server, site, names):
    browser.execute_script("Plotly.relayout('plot', {dragmode: 'select'})")
    box = browser.execute_script(
        "const b = document.querySelector('#plot .nsewdrag').getBoundingClientRect();"
        "return [b.left + 4, b.top + 4, b.right - 4, b.bottom - 4].map(Math.round)"
    )
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.move_to_location(*box[:2])
    actions.w3c_actions.pointer_action.pointer_down()
    actions.w3c_actions.pointer_action.move_to_location(*box[2:])
    actions.w3c_actions.pointer_action.pointer_up()
    actions.perform()
    until(browser, lambda b: f": {len(names)}" in b.find_element("css selector", "#several").text)
    until(browser, lambda b: b.find_element("id", "several-kl").get_attribute("data-rows"))
    assert complaints(browser) == []


def test_filters_steps_hidden_groups_and_names(browser, server, site, names):
    choose(browser, "only", "tag team")
    choose(browser, "only-value", "team 2")
    members = api(server, "members", run_id=site.runs["map"])["colourings"]
    teams = next(of for of in members if of["column"] == "tag:team")["values"]
    there = {row for row, team in enumerate(teams) if team == "team 2"}
    until(browser, lambda b: set(b.execute_script(ROWS)) == there)
    assert of_address(browser)["only"] == ["tag:team=team 2"]
    choose(browser, "only", "any")
    browser.execute_script(
        "const s = document.getElementById('upto'); s.value = 2;"
        "s.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    steps = api(server, "run", run_id=site.runs["map"])["data"]["step"]
    until(
        browser, lambda b: len(b.execute_script(ROWS)) == sum(s is None or s <= 2000 for s in steps)
    )
    assert of_address(browser)["upto"] == ["2000"]
    choose(browser, "colour", "trajectory")
    lines = (
        "return document.getElementById('plot').data.filter((t) => t.mode === 'lines')"
        ".map((t) => t.visible)"
    )
    assert browser.execute_script(lines) == [True, True]
    browser.find_elements("css selector", "#plot .legendtoggle")[0].click()
    until(browser, lambda b: "legendonly" in b.execute_script(lines))
    (hidden,) = of_address(browser)["hide"]
    assert not {row for row in browser.execute_script(ROWS) if hidden[-1] == names[row][10:11]}
    browser.find_element("id", "names").click()
    written = "return document.getElementById('plot').data.slice(-2)[0].text.length"
    until(browser, lambda b: b.execute_script(written) > 0)
    address = browser.current_url
    browser.refresh()
    drawn(browser)
    until(browser, lambda b: "legendonly" in b.execute_script(lines))
    assert browser.current_url == address
    assert complaints(browser) == []


def test_colours_by_the_kl_from_a_point(browser, server, site, names):
    row = names.index("tiny seed 0 step 1000")
    at(browser, row, click=True)
    choose(browser, "colour", "KL from A")
    coloured = (
        "const t = document.getElementById('plot').data.find((of) => of.customdata "
        "&& of.marker.colorscale); return t ? [t.customdata, t.marker.color] : null"
    )
    until(browser, lambda b: (b.execute_script(coloured) or [[]])[0])
    rows, colours = browser.execute_script(coloured)
    mlflow.set_tracking_uri(site.store)
    kl = load_map(site.runs["map"]).kl.to_numpy()[row]
    least = kl[kl > 0].min()
    expected = np.log10(np.maximum(kl, least))[rows]
    np.testing.assert_allclose(np.array(colours, dtype=float), expected, atol=1e-5)
    ticks = (
        "return document.getElementById('plot').data.find((t) => t.marker && t.marker.colorbar)"
        ".marker.colorbar.ticktext"
    )
    assert set(browser.execute_script(ticks)) & {
        "0.1",
        "0.2",
        "0.5",
        "1",
        "2",
        "5",
        "10",
        "20",
        "50",
    }


def test_tables_are_sorted_and_kept_whole(browser, server, site, names):
    browser.execute_script(CAUGHT)
    browser.find_element("css selector", "#table summary").click()
    heads = until(browser, lambda b: b.find_elements("css selector", "#table th button"))
    step = next(of for of in heads if of.text.startswith("Step"))
    step.click()
    cells = (
        "return [...document.querySelectorAll('#table tbody tr')]"
        ".map((r) => r.cells[3].textContent)"
    )
    shown = [int(of.replace(",", "")) for of in browser.execute_script(cells) if of]
    assert shown == sorted(shown)
    step.click()
    shown = [int(of.replace(",", "")) for of in browser.execute_script(cells) if of]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == 26
    browser.find_element("css selector", "#table .keep button").click()
    name, rows = kept(browser)
    assert name.endswith("points.csv")
    assert len(rows) == 1 + len(names)
    assert rows[0][:5] == ["Point", "Trajectory", "Step", "Type", "Precision"]
    assert {row[0] for row in rows[1:]} == set(names)
    bits = api(server, "run", run_id=site.runs["map"])["data"]["bits_per_byte"]
    assert [float(row[5]) for row in rows[1:]] == [bits[names.index(row[0])] for row in rows[1:]]


@pytest.mark.parametrize(("ending", "begins"), [("svg", "<svg"), ("png", "\ufffdPNG")])
def test_pictures_are_kept_light_as_drawings_and_as_pictures(
    browser, server, site, names, ending, begins
):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    try:
        paper = "return document.getElementById('plot')._fullLayout.paper_bgcolor"
        until(browser, lambda b: b.execute_script(paper) == "#17191c")
        browser.execute_script(CAUGHT)
        words = {"svg": "a drawing (SVG)", "png": "a picture (PNG)"}[ending]
        button = f"#plot .modebar-btn[data-title='Save as {words}']"
        browser.find_element("css selector", button).click()
        until(
            browser, lambda b: (b.execute_script("return window.caughtName") or "").endswith(ending)
        )
        until(browser, lambda b: b.execute_script(paper) == "#17191c")
        name, text = browser.execute_async_script(LAST)
        assert name.endswith(f"tsne.{ending}")
        assert text.startswith(begins)
        if ending == "svg":
            assert "rgb(255, 255, 255)" in text
            assert "rgb(23, 25, 28)" not in text
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_what_is_folded_is_printed_and_folded_again(browser, server, site, names):
    rows = "return document.querySelectorAll('#table tbody tr').length"
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(rows) == len(names)
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.find_element("id", "table").get_attribute("open") is None
    assert complaints(browser) == []


def test_a_map_whose_points_have_no_steps_has_a_form(browser, server, site, names):
    read = browser.execute_async_script(
        "const done = arguments[0], main = document.querySelector('script[type=module]').src;"
        "import(new URL('map_controls.js', main)).then(({mapControls}) => {"
        "const data = {step: [null, null], paths: [], coordinates: {}, colourings: [],"
        " names: ['a', 'b']};"
        "const form = mapControls({data, onChange() {}});"
        "form.write({embedding: 'pca', dimensions: 2, colouring: {column: ''}, lines: true,"
        " names: false, find: 'a', only: null, upto: null}); done(form.read());"
        "}).catch((error) => done(String(error)))"
    )
    assert (read["upto"], read["find"]) == (None, "a")
