"""A store full of hostile names, in a real browser: no script runs and no layout breaks.

On the page and on the self-contained artifact alike, on a desk and on a phone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from mlflow_modelmap import TextSet, build_map, build_scale, lineage, trajectory
from mlflow_modelmap.drivers.gate.gate import gate
from tests.e2e.test_page import complaints, drawn, opened, until
from tests.scored import made_up, write_family, write_score
from tests.serving import serving

pytestmark = pytest.mark.slow

NAMES = (
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned = 1">',
    "\"'><svg onload=window.pwned=1>`${window.pwned = 1}`",
    '<a href="javascript:window.pwned=1">a link</a><b>bold</b>',
    "</script><script>window.pwned = 1</script><!-- {{script}}",
    "one line\nand another\r\n\tand more",
    "\u202eturned around\u202c \u200f\u061c שלום עולם مرحبا بالعالم",
    "x" * 10_000,
    "$\\frac{$ %{customdata} &lt;script&gt; &#60;script&#62;",
    "Z" + "\u0301" * 2_000 + "algo",
    "\u0007\u001b[31m\u2028\u2029 control",
    "constructor",
)
SIZES = ((1280, 900), (390, 844))
KINDS = ("map", "trajectory", "scale", "lineage", "gate", "monitor")

FOUND = """
const strange = "img[src=x], svg[onload], a[href^=javascript], iframe, main script";
const texts = [], listed = (of) => [].concat(of || []);
for (const {data, layout} of document.querySelectorAll(".js-plotly-plot")) {
  for (const of of data) texts.push(of.name, ...listed(of.hovertext), ...listed(of.text));
  for (const axis of [layout.xaxis, layout.yaxis]) if (axis) texts.push(...listed(axis.ticktext));
}
const left = texts.filter(Boolean).map((text) => String(text).replace(/<b>|<[/]b>|<br>/g, ""));
return {
  pwned: window.pwned === undefined ? null : String(window.pwned),
  strange: document.querySelectorAll(strange).length,
  markup: left.filter((text) => /</.test(text)),
  wide: document.documentElement.scrollWidth - window.innerWidth,
  tall: document.documentElement.scrollHeight,
  links: document.querySelectorAll(".hoverlayer a, .legend a").length,
  text: document.body.innerText,
};
"""
# The mouse rests on one point after another whose text holds markup; what the box says.
HOVER = """
const plot = document.querySelector(".js-plotly-plot"), box = plot.getBoundingClientRect();
const {xaxis, yaxis} = plot._fullLayout, points = [];
for (const {hovertext, x, y} of plot.data) (hovertext || []).forEach((text, k) => {
  if (text.includes("&lt;script")) points.push([x[k], y[k]]);
});
const said = plot.querySelector(".hoverlayer").textContent;
window.turn = (window.turn || 0) + 1;
const [x, y] = points[window.turn % points.length];
plot.querySelector(".nsewdrag").dispatchEvent(new MouseEvent("mousemove", {bubbles: true,
  clientX: box.left + xaxis._offset + xaxis.l2p(x),
  clientY: box.top + yaxis._offset + yaxis.l2p(y)}));
return said;
"""
MEMBERS = "return document.getElementById('plot').dataset.members"


class Hostile(NamedTuple):
    """The store, its folder, and ids of its runs by what they are."""

    store: str
    folder: Path
    runs: dict[str, str]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(_empty_store, folder / "mlflow.db")
    store = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    yield Hostile(store, folder, _fill(store, folder))
    mlflow.set_tracking_uri(None)


def _fill(store: str, folder: Path) -> dict[str, str]:
    client = MlflowClient(store)
    place = (folder / "artifacts").as_uri()
    where = NAMES[0] + NAMES[6]
    client.create_experiment(where, artifact_location=place)
    ids = write_family(store, tuple(range(0, 12_000, 1_000)), experiment=where)
    for k, run_id in enumerate(ids):
        name = NAMES[k % len(NAMES)]
        tags = {
            "mlflow.runName": f"{name[:4_000]} {k}",
            "modelmap.trajectory": NAMES[1 + k // 12],
            "modelmap.model_type": NAMES[k % 5],
            "modelmap.precision": NAMES[k // 12],
            "modelmap.text_set_name": NAMES[k % 5],
            "modelmap.base_model": f"{NAMES[(k - 1) % len(NAMES)][:4_000]} {k - 1}" if k else "",
            "team": name[:5_000],
            "constructor": NAMES[k % 3],
        }
        client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
    runs = {
        "map": build_map([where], name=NAMES[4]).run_id,
        "trajectory": trajectory([where], figures=False, tag_runs=False, name=NAMES[3]).run_id,
        "scale": build_scale([where], groups=["team"], name=NAMES[2]).run_id,
        "lineage": lineage([where], hub=False, score=False, write_tags=False, name=NAMES[1]).run_id,
        "monitor": _monitor(client, where),
        "gate": _gate(store, where),
    }
    for run_id in runs.values():
        client.set_tag(run_id, "modelmap.text_set_name", NAMES[1])
        if "modelmap.notices" not in client.get_run(run_id).data.params:
            client.log_param(run_id, "modelmap.notices", json.dumps([n[:200] for n in NAMES]))
    return runs


def _monitor(client: MlflowClient, experiment: str) -> str:
    where = client.get_experiment_by_name(experiment).experiment_id
    tags = {
        "modelmap.kind": "monitor",
        "modelmap.trajectory": NAMES[2],
        "modelmap.checkpoints": "9",
    }
    run_id = client.create_run(where, tags=tags, run_name=NAMES[5]).info.run_id
    said = RunTag("modelmap.anomaly", f"step 300: {NAMES[0]}; step {'9' * 40}: {NAMES[7][:3_000]}")
    metrics = [Metric("modelmap/bits_per_byte", 2.0 - s / 1e3, s, s) for s in (100, 200, 300)]
    metrics += [Metric("modelmap/kl_previous", float("nan"), 300, 300)]
    metrics += [Metric("modelmap/kl_previous", float("inf"), 200, 200)]
    client.log_batch(run_id, metrics, tags=[said])
    return run_id


def _gate(store: str, experiment: str) -> str:
    """A gate whose decision somebody wrote anew: every text in it is hostile."""
    texts = TextSet("gate texts", tuple(f"a text of some length, number {k}" for k in range(30)))
    rows = made_up(2, 30)[0]
    ids = [
        write_score(store, NAMES[k], row, texts.bytes, digest=texts.digest, experiment=experiment)
        for k, row in enumerate(rows)
    ]
    run_id = gate(ids[0], ids[1], texts, max_kl=1e-9, experiment=experiment).run_id
    root = urlsplit(mlflow.get_run(run_id).info.artifact_uri).path
    path = Path(root) / "modelmap" / "decision.json"
    decision = json.loads(path.read_text("utf-8"))
    decision["paragraph"] = " ".join(NAMES)
    decision["limits"] = [{**decision["limits"][0], "quantity": name} for name in NAMES[:8]]
    for role, name in (("candidate", NAMES[7]), ("reference", NAMES[3])):
        decision[role] |= {"name": name, "model": name, "revision": NAMES[0], "precision": NAMES[6]}
    path.write_text(json.dumps(decision), "utf-8")
    return run_id


@pytest.fixture(scope="module")
def server(hostile: Hostile) -> Iterator[str]:
    with serving(hostile.folder, "--workers", "1", "--app-name", "modelmap") as address:
        yield address


def check(browser: Any, what: str) -> dict[str, Any]:
    found = browser.execute_script(FOUND)
    assert found["pwned"] is None, what
    assert found["strange"] == 0, what
    assert found["markup"] == [], what
    assert found["links"] == 0, what
    assert found["wide"] <= 0, f"{what} is {found['wide']} pixels too wide"
    assert found["tall"] < 40_000, what
    for turned in "\u202e\u200f\u061c\u0007":
        assert turned not in found["text"], what
    return found


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_the_page_reads_hostile_names_and_nothing_more(browser, server, hostile, size):
    opened(browser, server, size)
    assert NAMES[0] in check(browser, "experiments")["text"]
    where = MlflowClient(hostile.store).get_run(hostile.runs["map"]).info.experiment_id
    opened(browser, server, size, experiment=where)
    assert "</script><script>" in check(browser, "runs")["text"]
    for kind in KINDS:
        opened(browser, server, size, run=hostile.runs[kind])
        assert not browser.find_elements("css selector", "[role=alert]"), browser.execute_script(
            "return document.body.innerText"
        )[:600]
        if kind == "map":
            drawn(browser)
            until(browser, lambda b: b.execute_script(MEMBERS))
            browser.execute_script("document.getElementById('table').open = true")
            until(browser, lambda b: "<script>window" in b.execute_script(HOVER))
        check(browser, kind)
        for details in browser.find_elements("css selector", "details"):
            browser.execute_script("arguments[0].open = true", details)
        check(browser, f"{kind}, opened")
    assert complaints(browser) == []


def test_two_hostile_points_are_compared(browser, server, hostile):
    opened(browser, server, run=hostile.runs["map"])
    drawn(browser)
    browser.execute_script("document.getElementById('table').open = true")
    until(browser, lambda b: len(b.find_elements("css selector", "#table button.small")) > 9)
    buttons = browser.find_elements("css selector", "#table button.small")
    for k in (0, 7):
        browser.execute_script("arguments[0].click()", buttons[k])
    until(browser, lambda b: b.find_element("id", "pair").get_attribute("data-pair"))
    assert "KL = " in browser.find_element("id", "pair").text
    check(browser, "a pair")
    browser.refresh()  # its names are in the address
    drawn(browser)
    check(browser, "a pair again")
    assert complaints(browser) == []


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_the_artifact_reads_hostile_names_and_nothing_more(browser, hostile, size):
    root = urlsplit(MlflowClient(hostile.store).get_run(hostile.runs["map"]).info.artifact_uri).path
    browser.get_log("browser")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600},
    )
    browser.get((Path(root) / "modelmap" / "map.html").as_uri())
    drawn(browser)
    check(browser, "map.html")
    colours = browser.execute_script("return document.querySelectorAll('#colour option').length")
    for k in range(colours):
        browser.execute_script(
            "const of = document.getElementById('colour'); of.value = arguments[0];"
            "of.dispatchEvent(new Event('change', {bubbles: true}))",
            str(k),
        )
        check(browser, f"map.html, colour {k}")
    until(browser, lambda b: "<script>window" in b.execute_script(HOVER))
    check(browser, "map.html, a point")
    assert complaints(browser) == []
