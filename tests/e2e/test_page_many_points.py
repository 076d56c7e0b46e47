"""A map of so many points that a canvas shows them, where Plotly has them under the mouse."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from tests.e2e.test_page import at, complaints, drawn, opened, until
from tests.e2e.test_page_points import CAUGHT, LAST, ROWS

pytestmark = pytest.mark.slow

# Each drawn point: its row, whether the canvas is painted where the axes' ranges put it, whether it
# lies within them, and that place.
PAINTED = """
const plot = document.getElementById("plot"), {xaxis, yaxis} = plot._fullLayout;
const canvas = plot.querySelector("canvas.map-points"), box = canvas.getBoundingClientRect();
const fine = canvas.width / box.width, pen = canvas.getContext("2d");
const share = (axis, value) => (value - axis.range[0]) / (axis.range[1] - axis.range[0]);
return plot.data.filter((t) => t.customdata).flatMap((t) => t.customdata.map((row, k) => {
  const x = share(xaxis, t.x[k]) * box.width, y = (1 - share(yaxis, t.y[k])) * box.height;
  const within = x > 1 && x < box.width - 1 && y > 1 && y < box.height - 1;
  return [row, within && pen.getImageData(x * fine, y * fine, 1, 1).data[3] > 0, within, x, y];
}));
"""
SHARE = """
const canvas = document.querySelector("canvas.map-points");
const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
let painted = 0;
for (let k = 3; k < data.length; k += 4) painted += data[k] > 0;
return painted / (data.length / 4);
"""


@pytest.fixture
def many(browser, server, site) -> Any:
    """The map's page, which takes its points for many; in the document of the list before it."""
    opened(browser, server, experiment=site.experiments["family"])
    browser.execute_script("MapPoints.MANY = 1")
    browser.execute_script(
        "const a = document.createElement('a'); a.href = arguments[0];"
        "document.getElementById('content').append(a); a.click()",
        f"?run={site.runs['map']}",
    )
    drawn(browser)
    until(browser, lambda b: b.find_element("id", "plot").get_attribute("data-members"))
    return browser


def test_a_canvas_shows_the_points_wherever_the_map_is_moved(many):
    rows = sorted(many.execute_script(ROWS))
    assert sorted(row for row, painted, *_ in many.execute_script(PAINTED) if painted) == rows
    assert 0 < many.execute_script(SHARE) < 0.3
    # Plotly itself draws one of each group.
    assert len(many.find_elements("css selector", "#plot .scatterlayer path.point")) < len(rows)

    many.execute_script("document.getElementById('plot').scrollIntoView({block: 'center'})")
    x, y = many.execute_script(
        "const b = document.querySelector('#plot .nsewdrag').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2].map(Math.round)"
    )
    actions = ActionChains(many)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    actions.w3c_actions.pointer_action.pointer_down()
    for k in range(1, 5):
        actions.w3c_actions.pointer_action.move_to_location(x + 40 * k, y + 15 * k)
    actions.perform()
    moving = many.execute_script(PAINTED)
    assert {painted for _, painted, within, *_ in moving if within} == {True}
    assert not all(within for _, _, within, *_ in moving)
    ActionChains(many).release().perform()
    moved = many.execute_script(PAINTED)
    assert {painted for _, painted, within, *_ in moved if within} == {True}

    many.find_element("css selector", "label[for=pca]").click()
    drawn(many, "pca2")
    assert all(painted for _, painted, *_ in many.execute_script(PAINTED))
    many.find_element("css selector", "label[for=three]").click()
    drawn(many, "pca3")
    assert not many.find_elements("css selector", "canvas.map-points")
    many.find_element("css selector", "label[for=two]").click()
    drawn(many, "pca2")
    assert all(painted for _, painted, *_ in many.execute_script(PAINTED))
    assert complaints(many) == []


def test_choosing_hiding_and_keeping_many_points(many):
    before = many.execute_script(SHARE)
    at(many, 3, click=True)
    until(many, lambda b: b.find_element("id", "point-a").get_attribute("value"))
    until(many, lambda b: b.execute_script(SHARE) > before)  # a ring and its letter
    ringed = many.execute_script(SHARE)
    many.find_element("id", "names").click()
    until(many, lambda b: b.execute_script(SHARE) > ringed + 0.002)
    many.find_element("id", "names").click()
    until(many, lambda b: b.execute_script(SHARE) == pytest.approx(ringed))

    rows = many.execute_script(ROWS)
    many.execute_script(CAUGHT)
    many.find_element(
        "css selector", "#plot .modebar-btn[data-title='Save as a drawing (SVG)']"
    ).click()
    until(many, lambda b: (b.execute_script("return window.caughtName") or "").endswith("svg"))
    _, text = many.execute_async_script(LAST)
    assert text.count('class="point ') >= len(rows)

    many.find_elements("css selector", "#plot .legendtoggle")[0].click()
    until(many, lambda b: len(b.execute_script(ROWS)) < len(rows))
    left = set(many.execute_script(ROWS))
    places = many.execute_script(PAINTED)
    seen = [(x, y) for row, _, _, x, y in places if row in left or row == 3]
    alone = [
        painted
        for row, painted, _, x, y in places
        if row not in left and all(abs(x - px) + abs(y - py) > 50 for px, py in seen)
    ]
    assert alone
    assert not any(alone)
    assert complaints(many) == []
