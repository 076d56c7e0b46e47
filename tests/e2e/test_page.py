"""The page beside the MLflow UI: a real server on a real store, in a real browser."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import mlflow
import pytest

from mlflow_modelmap import build_map, load_map
from mlflow_modelmap.surfaces.server import assets
from tests.page_site import NASTY
from tests.scored import write_family
from tests.serving import serving

pytestmark = pytest.mark.slow

ON_SCREEN = """
const plot = document.getElementById("plot"), row = arguments[0];
const trace = plot.data.find((t) => t.customdata && t.customdata.includes(row));
const k = trace.customdata.indexOf(row), full = plot._fullLayout;
const box = plot.getBoundingClientRect();
return [box.left + full.xaxis._offset + full.xaxis.l2p(trace.x[k]),
        box.top + full.yaxis._offset + full.yaxis.l2p(trace.y[k])].map(Math.round);
"""


def ask(
    address: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters and body; no redirect is followed."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    method = headers.pop("method", "GET")
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request(method, target, body, headers)
    response = connection.getresponse()
    told = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, told


def api(server: str, name: str, **query: Any) -> Any:
    url = f"{server}/modelmap/api/{name}?{urllib.parse.urlencode(query)}"
    return json.loads(ask(url)[2])


def until(browser: Any, condition: Any, seconds: int = 30) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(condition)


def opened(browser: Any, server: str, size: tuple[int, int] = (1280, 900), **state: Any) -> None:
    """Open an address of the page and wait until it is shown."""
    browser.get_log("browser")
    phone = size[0] < 600
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": phone},
    )
    browser.get(f"{server}/modelmap/?{urllib.parse.urlencode(state, doseq=True)}")
    until(browser, lambda b: not b.find_elements("css selector", "main[aria-busy]"))


def drawn(browser: Any, what: str = "") -> None:
    def state(chrome: Any) -> bool:
        plots = chrome.find_elements("id", "plot")
        found = plots[0].get_attribute("data-drawn") if plots else None
        return bool(found) and (not what or found == what)

    until(browser, state)


def content(browser: Any) -> str:
    return browser.find_element("id", "content").text


def complaints(browser: Any) -> list[str]:
    """What the console holds besides the browser's own remarks on drawing speed."""
    harmless = re.compile(r"GL Driver Message|willReadFrequently")
    return [e["message"] for e in browser.get_log("browser") if not harmless.search(e["message"])]


def at(browser: Any, row: int, *, click: bool = False) -> None:
    """Rest the mouse on a point, and click it."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.execute_script("document.getElementById('plot').scrollIntoView({block: 'center'})")
    actions = ActionChains(browser)
    x, y = browser.execute_script(ON_SCREEN, row)
    actions.w3c_actions.pointer_action.move_to_location(x - 3, y - 3)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    if click:
        actions.click()
    actions.perform()


def answered(browser: Any) -> str:
    until(browser, lambda b: b.find_element("id", "pair").get_attribute("data-pair"))
    return browser.find_element("id", "pair").text


def test_from_the_experiments_to_a_map(browser, server, site):
    opened(browser, server)
    browser.find_element("link text", "family").click()
    until(browser, lambda b: b.find_elements("link text", f"map {NASTY}"))
    assert browser.title == "family – Model map"
    browser.find_element("link text", f"map {NASTY}").click()
    drawn(browser, "tsne2")
    assert f"map {NASTY}" in browser.find_element("css selector", "h1").text
    assert "made-up texts" in content(browser)
    assert site.runs["map"] in browser.current_url
    browser.back()
    until(browser, lambda b: b.find_elements("link text", f"map {NASTY}"))
    assert complaints(browser) == []


def test_resting_on_a_point_tells_of_it(browser, server, site):
    opened(browser, server, run=site.runs["map"])
    drawn(browser)
    row = api(server, "run", run_id=site.runs["map"])["data"]["names"].index(
        "tiny seed 1 step 3000"
    )
    at(browser, row)
    label = until(
        browser,
        lambda b: b.execute_script(
            "return [...document.querySelectorAll('#plot .hoverlayer .hovertext')]"
            ".map((e) => e.textContent).join('')"
        ),
    )
    assert label == "tiny seed 1 step 3000"
    told = browser.find_element("id", "hovered").text
    assert "tiny seed 1 step 3000" in told
    assert "bits per byte" in told
    assert told.partition("bits/byte")[2].count(" ± ") == 3


def test_two_clicks_give_the_kl_of_load_map_and_the_api(browser, server, site):
    opened(browser, server, run=site.runs["map"])
    drawn(browser)
    names = api(server, "run", run_id=site.runs["map"])["data"]["names"]
    a, b = names.index("tiny seed 0 step 1000"), names.index("tiny seed 1 step 11000")
    at(browser, a, click=True)
    until(browser, lambda c: "choose the other" in c.find_element("id", "pair").text)
    at(browser, b, click=True)
    told = answered(browser)
    answer = api(server, "pair", run_id=site.runs["map"], a=a, b=b)
    mlflow.set_tracking_uri(site.store)
    kl, se = load_map(site.runs["map"]).between(names[a], names[b])
    assert (answer["kl"], answer["se"]) == (kl, se)
    shown = re.match(r"KL = ([\d.]+) ± ([\d.]+)", told)
    assert abs(float(shown[1]) - kl) <= 0.51 * 10 ** -len(shown[1].partition(".")[2])
    assert abs(float(shown[2]) - se) <= 0.51 * 10 ** -len(shown[2].partition(".")[2])
    assert answer["words"] in told
    assert f"{answer['low']:.3g}"[:4] in told
    facts = browser.find_element("id", "facts").text
    assert "A: tiny seed 0 step 1000" in facts
    assert "B: tiny seed 1 step 11000" in facts
    assert facts.count("bits per byte") == 2
    until(browser, lambda c: len(c.find_elements("link text", "its run in MLflow")) == 2)
    link = browser.find_elements("link text", "its run in MLflow")[0].get_attribute("href")
    run_id = api(server, "run", run_id=site.runs["map"])["data"]["run_id"][a]
    assert link == f"{server}/#/experiments/{site.experiments['family']}/runs/{run_id}"
    assert complaints(browser) == []


def test_a_link_shows_the_same_map_colour_and_points(browser, server, site):
    from selenium.webdriver.support.ui import Select

    opened(
        browser,
        server,
        run=site.runs["map"],
        embedding="pca",
        dimensions="3",
        colour="tag:team",
        find="seed 1",
        lines="off",
        a="tiny seed 0 step 0",
        b=NASTY,
    )
    drawn(browser, "pca3")
    assert answered(browser).startswith("KL = ")
    until(browser, lambda b: b.find_element("id", "plot").get_attribute("data-members"))
    colour = Select(browser.find_element("id", "colour"))
    assert colour.first_selected_option.text == "tag team"
    assert browser.find_element("id", "found").text == "13 of 29"
    assert not browser.find_element("id", "lines").is_selected()
    assert browser.find_element("id", "point-b").get_attribute("value") == NASTY
    address = browser.current_url
    browser.refresh()
    drawn(browser, "pca3")
    answered(browser)
    until(browser, lambda b: b.current_url == address)
    assert complaints(browser) == []


def test_every_colouring_of_the_map_and_its_tags_draws(browser, server, site):
    from selenium.webdriver.support.ui import Select

    opened(browser, server, run=site.runs["map"])
    drawn(browser)
    until(browser, lambda b: b.find_element("id", "plot").get_attribute("data-members"))
    choice = Select(browser.find_element("id", "colour"))
    titles = [option.text for option in choice.options]
    assert titles[:4] == ["model type", "trajectory", "precision", "bits per byte"]
    assert {"tag team", "tag learning_rate"} <= set(titles)
    points = (
        "return document.getElementById('plot').data.filter((t) => t.customdata)"
        ".map((t) => t.customdata.length).reduce((a, b) => a + b)"
    )
    for title in titles:
        choice.select_by_visible_text(title)
        assert browser.execute_script(points) == 29, title
    choice.select_by_visible_text("tag team")
    legend = [e.text for e in browser.find_elements("css selector", "#plot .legendtext")]
    assert {"team 0", "team 1", "team 2", "not given"} <= set(legend)
    assert complaints(browser) == []


def test_points_are_chosen_by_keyboard_alone(browser, server, site):
    from selenium.webdriver.common.keys import Keys

    opened(browser, server, run=site.runs["map"])
    drawn(browser)

    def press(*keys: str) -> None:
        browser.switch_to.active_element.send_keys(*keys)

    browser.find_element("css selector", "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    press(Keys.ENTER)
    for _ in range(40):
        press(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("id") == "point-a":
            break
    box = browser.switch_to.active_element
    assert box.get_attribute("role") == "combobox"
    press("seed 0 STEP 1")
    assert box.get_attribute("aria-expanded") == "true"
    listed = browser.find_elements("css selector", "#point-a-list [role=option]")
    assert listed[0].text == "tiny seed 0 step 1000"
    assert len(listed) == 4
    press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    assert box.get_attribute("value") == "tiny seed 0 step 11000"
    assert box.get_attribute("aria-expanded") == "false"
    press(Keys.TAB, Keys.TAB, "seed 1 step 12000", Keys.ENTER)
    assert answered(browser).startswith("KL = ")
    assert browser.find_element("id", "pair").get_attribute("aria-live") == "polite"
    press("nobody", Keys.ESCAPE)
    assert browser.find_element("id", "point-b").get_attribute("value") == "tiny seed 1 step 12000"


def test_the_table_says_the_same_and_chooses(browser, server, site):
    opened(browser, server, run=site.runs["map"], find="tiny seed 1")
    drawn(browser)
    browser.find_element("css selector", "#table summary").click()
    rows = until(browser, lambda b: b.find_elements("css selector", "#table tbody tr"))
    assert len(rows) == 13
    assert "gpt_neox" in rows[0].text
    assert " ± " in rows[0].text
    for row in rows[:2]:
        row.find_element("css selector", "button").click()
    assert answered(browser).startswith("KL = ")


def test_names_with_markup_are_read_and_never_run(browser, server, site):
    opened(browser, server)
    opened(browser, server, experiment=site.experiments["family"])
    opened(browser, server, run=site.runs["map"], a=NASTY, b="child", colour="tag:team")
    drawn(browser)
    answered(browser)
    at(browser, 26)
    browser.find_element("css selector", "#table summary").click()
    until(browser, lambda b: b.find_elements("css selector", "#table tbody tr"))
    assert NASTY in browser.find_element("id", "facts").text
    strange = "return document.querySelectorAll('img[src=x], main script').length"
    assert browser.execute_script(strange) == 0
    assert complaints(browser) == []


def test_training_scale_and_lineage_are_shown(browser, server, site):
    opened(browser, server, run=site.runs["trajectory"])
    until(browser, lambda b: b.find_element("id", "bits").get_attribute("data-drawn"))
    shown = "return document.getElementById('kl-previous').data.map((t) => t.y.length)"
    assert browser.execute_script(shown) == [12, 12]
    errors = (
        "return document.getElementById('kl-previous').data[0].error_y.array.every((v) => v > 0)"
    )
    assert browser.execute_script(errors)
    assert browser.find_elements("id", "exponents-q")
    assert "Anomalies" in content(browser)
    opened(browser, server, run=site.runs["monitor"])
    until(browser, lambda b: b.find_element("id", "bits").get_attribute("data-drawn"))
    assert browser.execute_script(shown) == [2]
    assert "The training goes on" in content(browser)
    opened(browser, server, run=site.runs["scale"])
    until(browser, lambda b: b.find_element("id", "scale").get_attribute("data-drawn"))
    assert "In the paper" in content(browser)
    names = "return document.getElementById('scale').data.map((t) => t.name)"
    assert {"middle half", "a pair", "median"} <= set(browser.execute_script(names))
    labels = "return document.getElementById('scale').data[2].hovertext"
    told = browser.execute_script(labels)
    for words in ("middle half", "largest standard error of a pair"):
        assert words in told[0]
    assert "Largest standard error" in content(browser)
    opened(browser, server, run=site.runs["lineage"])
    below = browser.find_element("css selector", "#lineage ul").text
    assert "child" in below
    assert "KL to tiny seed 0 step 12000: " in below
    told = content(browser)
    assert "tiny seed 0 step 0 = alone" in told
    assert "KL to that not measured, as org/never-scored has no score" in told
    assert complaints(browser) == []


def test_a_gate_says_its_verdict_and_why(browser, server, site):
    opened(browser, server, experiment=site.experiments["family"])
    (listed,) = browser.find_elements("css selector", ".list .verdict")
    assert listed.text == "✗ fail"
    under = listed.find_element("xpath", "./..").text
    assert f"challenger {NASTY} against champion" in under
    opened(browser, server, run=site.runs["gate"])
    for quantity in ("kl", "bits_per_byte_increase"):
        drawn_limit = f"#limit-{quantity}[data-drawn]"
        until(browser, lambda b, css=drawn_limit: b.find_elements("css selector", css))
    answer = api(server, "run", run_id=site.runs["gate"])["data"]
    assert browser.find_element("id", "paragraph").text == answer["paragraph"]
    shown = browser.execute_script("return document.getElementById('limit-kl').data[0].x")
    assert shown == [answer["limits"][0]["low"], answer["limits"][0]["high"]]
    verdicts = [of.text for of in browser.find_elements("css selector", "h2 .verdict, td .verdict")]
    assert verdicts == ["✗ fail", "✗ fail", "✓ pass"]
    for role, where in (("candidate", NASTY), ("reference", "family")):
        link = browser.find_element("link text", f"the {role}'s run in MLflow").get_attribute(
            "href"
        )
        run_id = site.runs[f"gate's {role}"]
        assert link == f"{server}/#/experiments/{site.experiments[where]}/runs/{run_id}"
    assert browser.find_elements("link text", "the run in MLflow")
    strange = "return document.querySelectorAll('img[src=x], main script').length"
    assert browser.execute_script(strange) == 0
    assert complaints(browser) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deleted map", "was deleted; mlflow runs restore"),
        ("unfinished", "is running, not finished"),
        ("weights", "is of kind 'weights'"),
        ("newer", "newer mlflow-modelmap"),
        ("damaged", "is damaged: its artifact modelmap/points.parquet cannot be read"),
    ],
)
def test_a_run_that_cannot_be_shown_is_said_where_one_looks(browser, server, site, name, words):
    opened(browser, server, run=site.runs[name])
    alert = browser.find_element("css selector", "main [role=alert]")
    assert words in alert.text
    assert alert.text.count(". ") == 0
    assert not browser.find_elements("id", "plot")


def test_what_is_not_there_is_said(browser, server, site):
    opened(browser, server, run="no such run")
    assert "'no such run' is no run id" in content(browser)
    opened(browser, server, experiment=site.experiments["scored only"])
    assert 'modelmap map --experiment "scored only"' in content(browser)
    opened(browser, server, experiment="77")
    assert "There is no experiment 77" in content(browser)


@pytest.mark.parametrize("path", ["nothing", "api/none", "a/b/c"])
def test_an_address_that_is_none_is_told_in_the_pages_own_dress(browser, server, path):
    status, headers, _ = ask(f"{server}/modelmap/{path}")
    assert status == 404
    assert "default-src 'none'" in headers["content-security-policy"]
    browser.get_log("browser")
    browser.get(f"{server}/modelmap/{path}")
    assert browser.find_element("css selector", "h1").text == "There is no such page"
    browser.find_element("link text", "the list of experiments").click()
    until(browser, lambda b: b.find_elements("id", "experiments"))
    # The address itself is one that the browser found missing.
    assert [c for c in complaints(browser) if f"/modelmap/{path}" not in c] == []


def test_studies_and_a_score_are_shown(browser, server, site):
    for kind, columns in (
        ("quantization", ["Model", "Precision", "Original", "Copy", "KL ± standard error"]),
        ("exact", ["A", "B", "KL(A || B) ± standard error", "KL(B || A) ± standard error"]),
        ("layers", ["Model", "Type", "From layer", "Layer", "KL ± standard error"]),
        ("prompts", ["Model", "Prompt", "KL ± standard error", "Bits per byte"]),
    ):
        opened(browser, server, run=site.runs[kind])
        until(browser, lambda b: b.find_elements("css selector", "#study[data-drawn]"))
        heads = [of.text.strip(" ↕") for of in browser.find_elements("css selector", "th")]
        assert heads[: len(columns)] == columns
        assert NASTY in content(browser)
        assert not browser.execute_script("return document.querySelectorAll('img[src=x]').length")
    opened(browser, server, run=site.runs["member"])
    assert "tiny seed 0 step 0" in content(browser)
    browser.find_element("link text", f"map {NASTY}").click()
    drawn(browser)
    until(browser, lambda b: b.find_element("id", "point-a").get_attribute("value"))
    assert browser.find_element("id", "point-a").get_attribute("value") == "tiny seed 0 step 0"
    assert complaints(browser) == []


def test_steps_can_stand_by_powers_with_whole_numbers_beside_them(browser, server, site):
    opened(browser, server, run=site.runs["trajectory"])
    until(browser, lambda b: b.find_element("id", "bits").get_attribute("data-drawn"))
    browser.find_element("css selector", "label[for=steps-log]").click()
    ticks = (
        "const a = document.getElementById('bits')?._fullLayout?.xaxis; "
        "return [a?.type, a?.ticktext]"  # it is drawn anew
    )
    _, written = until(
        browser,
        lambda b: (lambda of: of if of[0] == "log" and of[1] else None)(b.execute_script(ticks)),
    )
    assert written[0] == "0"
    assert {"1,000", "2,000", "5,000", "10,000"} <= set(written)
    assert "steps=log" in browser.current_url
    drawn_at = "return document.getElementById('bits').data[0].x.slice(0, 2)"
    assert browser.execute_script(drawn_at) == [250, 1000]  # 0 stands left of the first step
    browser.back()
    until(browser, lambda b: b.execute_script(ticks)[0] == "linear")
    assert complaints(browser) == []


def test_it_fits_a_phone(browser, server, site):
    wide = "return [document.documentElement.scrollWidth, window.innerWidth]"
    names = ("map", "trajectory", "scale", "lineage", "gate", "quantization", "exact", "member")
    for name in names:
        opened(browser, server, (390, 844), run=site.runs[name])
        if name == "map":
            drawn(browser)
            for row in (2, 9):
                at(browser, row, click=True)
            assert answered(browser).startswith("KL = ")
        needed, there = browser.execute_script(wide)
        assert needed <= there == 390, name


def test_a_phone_that_is_turned_keeps_the_room_of_the_map(browser, server, site):
    opened(browser, server, (390, 844), run=site.runs["map"], colour="bits_per_byte")
    drawn(browser)
    turned = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", turned)
    wide = "return document.getElementById('plot')._fullLayout._size.w"
    until(browser, lambda b: b.execute_script(wide) > 600)


def test_only_get_is_answered_and_nothing_may_run_that_is_no_file(server, site):
    for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD"):
        for path in ("", "api/experiments", f"api/run?run_id={site.runs['map']}"):
            assert ask(f"{server}/modelmap/{path}", method=method)[0] == 405
    status, headers, body = ask(f"{server}/modelmap/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|javascript:", body.decode())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert ask(f"{server}/modelmap")[1]["location"] == "modelmap/"


def test_files_are_kept_by_the_browser_and_none_but_the_pages_is_served(server):
    at_version = f"{server}/modelmap/static/{assets.version()}"
    status, headers, body = ask(f"{at_version}/plotly.min.js", Accept_Encoding="gzip")
    assert status == 200
    assert "immutable" in headers["cache-control"]
    assert len(body) < 2_000_000
    assert b"plotly.js" in gzip.decompress(body)[:200]
    assert ask(f"{at_version}/plotly.min.js")[2][:200] == gzip.decompress(body)[:200]
    assert ask(f"{server}/modelmap/static/old/main.js")[0] == 404
    for path in ("../routes.py", "..%2froutes.py", "%2e%2e/routes.py", "page.html", "nothing.js"):
        assert ask(f"{at_version}/{path}")[0] == 404, path


def test_answers_are_not_kept_and_errors_have_a_status(server, site):
    run = site.runs["map"]
    assert ask(f"{server}/modelmap/api/run?run_id={run}")[1]["cache-control"] == "no-store"
    for name in ("deleted map", "unfinished", "newer"):
        status, _, body = ask(f"{server}/modelmap/api/run?run_id={site.runs[name]}")
        assert (status, list(json.loads(body))) == (404, ["error"])
    assert ask(f"{server}/modelmap/api/run?run_id={site.runs['damaged']}")[0] == 500
    for pair in ("a=0", "a=0&b=-1", "a=0&b=1e3", "a=0&b=99999", "a=0&b=%C2%B2"):
        status, _, body = ask(f"{server}/modelmap/api/pair?run_id={run}&{pair}")
        assert (status, list(json.loads(body))) == (404, ["error"]), pair


def test_mlflow_itself_is_served_beside_it(server):
    assert b"MLflow" in ask(f"{server}/")[2]
    assert ask(f"{server}/modelmap/", Host="evil.example")[0] == 403


def test_an_empty_store_says_what_to_run(browser, store, tmp_path):
    # Also: gunicorn, two workers, a prefix, and artifacts that the server itself hands out.
    options = ["--app-name", "modelmap", "--workers", "2", "--gunicorn-opts", "--timeout 60"]
    options += ["--static-prefix", "/ml", "--serve-artifacts", "--artifacts-destination", "./kept"]
    with serving(tmp_path, *options, prefix="/ml") as address:
        opened(browser, address)
        assert "modelmap score MODEL" in content(browser)
        try:
            mlflow.MlflowClient(address).search_experiments()
        except mlflow.MlflowException:  # MLflow 3.5: its own API stands beside the prefix
            tracking = address.removesuffix("/ml")
        else:
            tracking = address
        mlflow.set_tracking_uri(tracking)
        write_family(tracking, experiment="handed out")
        made = build_map(["handed out"], output_experiment="handed out")
        root = mlflow.MlflowClient(tracking).get_run(made.run_id).info.artifact_uri
        assert root.startswith("mlflow-artifacts:")
        assert (tmp_path / "kept").is_dir()
        opened(browser, address, run=made.run_id, a="tiny seed 0 step 1", b="tiny seed 1 step 512")
        drawn(browser)
        answered(browser)
        kl, _ = made.between("tiny seed 0 step 1", "tiny seed 1 step 512")
        a, b = (
            list(made.points["point"]).index(f"tiny seed {k}") for k in ("0 step 1", "1 step 512")
        )
        for _ in range(6):  # whichever worker answers
            assert api(address, "pair", run_id=made.run_id, a=a, b=b)["kl"] == kl
        assert complaints(browser) == []
