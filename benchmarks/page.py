"""The page beside the MLflow UI on a large map, in headless Chromium, beside the artifact page.

A map of 2,000 made-up models is written into a sqlite store and served by `mlflow server`. The same
points are opened as the map's own self-contained page (``map.html``), which holds its data and its
drawing library: what a server is worth is seen beside it. Each number is the median of all rounds.

    python benchmarks/page.py                   some minutes on two cores
    python benchmarks/page.py --points 500
    python benchmarks/page.py --points 10000 --folder /tmp/map    keeps the map, and uses it again
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.chromium import MISSING, chromium
from tests.serving import serving

CLOCK = Path(__file__).with_name("page_clock.js")
FIRST, LATER = "the first of a server", "later"


def fresh() -> Any | None:
    """A browser that has nothing kept, with the clock in every page; None where there is none."""
    chrome = chromium()
    if chrome is not None:
        chrome.set_window_size(1280, 900)
        clock = {"source": CLOCK.read_text("utf-8")}
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", clock)
    return chrome


def opened(chrome: Any, address: str, mark: str) -> dict[str, float]:
    """Open an address; ms until its marks, of which one is waited for."""
    from selenium.webdriver.support.ui import WebDriverWait

    chrome.get(address)
    WebDriverWait(chrome, 180).until(lambda c: c.execute_script("return clock.marks").get(mark))
    return chrome.execute_script("return clock.marks")


def panned(chrome: Any) -> list[float]:
    """Ms between the frames while the map is dragged for 60 moves of the mouse."""

    def mouse(kind: str, x: int, y: int) -> None:
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        chrome.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    x, y = chrome.execute_script(
        "const b = document.getElementById('plot').getBoundingClientRect();"
        "return [b.left + b.width * 0.4, b.top + b.height * 0.5].map(Math.round)"
    )
    before = chrome.execute_script("return document.getElementById('plot')._fullLayout.xaxis.range")
    mouse("mousePressed", x, y)
    chrome.execute_script("clock.startFrames()")
    for k in range(60):
        mouse("mouseMoved", x + 2 * k, y + k % 7)
    frames = chrome.execute_script("return clock.stopFrames()")
    mouse("mouseReleased", x + 120, y)
    after = chrome.execute_script("return document.getElementById('plot')._fullLayout.xaxis.range")
    if before == after:
        raise SystemExit("The map did not move with the mouse; nothing was measured.")
    return frames


def measure(address: str, mark: str, points: int, spent: dict[str, list[float]]) -> dict[str, int]:
    """One round on one page, in a browser that has nothing kept; bytes that came, by file."""
    chrome = fresh()
    assert chrome is not None
    try:
        for when in ("the first time", "again"):
            marks = opened(chrome, address, mark)
            came = chrome.execute_script("return clock.sent()")
            if mark == "members":
                late = marks["members"] - marks["drawn"]
                spent[f"tags and links after the drawing, {when}"].append(late)
                # The server has read the map once it was asked for.
                of = FIRST if not spent[f"the map's data, {FIRST}"] else LATER
                (took,) = (took for name, _, took in came if "/api/run?" in name)
                spent[f"the map's data, {of}"].append(took)
            if when == "the first time":
                sent = {name: int(size) for name, size, _ in came}
        if mark == "members":
            run_id = address.partition("?run=")[2]
            for rows in ("a=0&b=1", "a=5&b=9", "a=7&b=3", "a=2&b=4"):
                took, kl = chrome.execute_async_script(
                    "clock.pair(...arguments)", f"run_id={run_id}&{rows}"
                )
                assert kl > 0, rows
                spent[f"a pair, {LATER if spent[f'a pair, {FIRST}'] else FIRST}"].append(took)
        values = "return [...document.querySelectorAll('#colour option')].map((o) => o.value)"
        now = "return document.getElementById('colour').value"
        for value in chrome.execute_script(values)[:4]:
            if value != chrome.execute_script(now):
                took = chrome.execute_async_script("clock.colour(...arguments)", value)
                spent["another colour"].append(took)
        for row in range(0, points, max(1, points // 15)):
            took = chrome.execute_async_script("clock.hover(...arguments)", row)
            spent["the label on hover"].append(took)
        spent["a frame while the map is moved"] += panned(chrome)
        # Of many points there is no t-SNE in three dimensions.
        if chrome.execute_script("return !document.getElementById('three').disabled"):
            spent["3D"].append(chrome.execute_async_script("clock.three(...arguments)"))
        return sent
    finally:
        chrome.quit()


def unwatched(address: str, spent: dict[str, list[float]]) -> None:
    """A first visit, a second, and a third, for which the browser has compiled code, too."""
    from page_unwatched import visits

    for when, (took, used) in zip(("first", "second", "third"), visits(address, 3), strict=True):
        spent[f"drawn, {when} visit"].append(took)
        spent[f"processor time of the browser, {when} visit"].append(1000 * used)


def worker_memory(folder: Path) -> float:
    """MB of memory of the largest process that serves a folder's store."""
    import psutil

    held = [0.0]
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder):
            held.append(process.memory_info().rss / 1e6)
    return max(held)


def made_up_map(folder: Path, points: int, texts: int) -> str:
    """The run id of a map in a folder's store, which is made where it is not there yet."""
    import mlflow
    from many_runs import write_runs

    from mlflow_modelmap import build_map

    known = folder / "map_run_id"
    if not known.exists():
        mlflow.set_tracking_uri(write_runs(folder, points, texts))
        known.write_text(build_map(["benchmark"], output_experiment="benchmark").run_id)
    return known.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the map is kept; else it is removed")
    given = parser.parse_args()
    chrome = fresh()
    if chrome is None:
        print(f"The page was not measured: {MISSING}.")
        return
    chrome.quit()
    served: dict[str, list[float]] = defaultdict(list)
    alone: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as name:
        folder = (given.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run_id = made_up_map(folder, given.points, given.texts)
        (own,) = folder.rglob(f"{run_id}/artifacts/modelmap")
        sizes = {of.name: of.stat().st_size for of in own.iterdir()}
        load = os.getloadavg()[0]
        with serving(folder, "--app-name", "modelmap", "--workers", "1") as server:
            address = f"{server}/modelmap/?run={run_id}"
            for _ in range(given.rounds):
                sent = measure(address, "members", given.points, served)
                measure((own / "map.html").as_uri(), "drawn", given.points, alone)
                unwatched(address, served)
                unwatched((own / "map.html").as_uri(), alone)
            memory = worker_memory(folder)
    print(f"{given.points:,} points, {os.cpu_count()} cores, load {load:.1f} before")
    print(f"{'page':>8}  {'map.html':>8}  {'ratio':>5}  ms, median of {given.rounds} rounds")
    for what, values in served.items():
        mine = statistics.median(values)
        other = statistics.median(alone[what]) if what in alone else None
        beside = " " * 15 if other is None else f"{other:8.1f}  {mine / other:5.2f}"
        print(f"{mine:8.1f}  {beside}  {what}")
    data = sum(size for file, size in sent.items() if "/api/" in file)
    print(
        f"A browser gets {sum(sent.values()) / 1e6:.2f} MB, {data / 1e6:.2f} of them data. "
        f"The server's worker takes {memory:.0f} MB."
    )
    print(
        f"The run's artifacts have {sum(sizes.values()) / 1e6:.1f} MB, of them map.html "
        f"{sizes['map.html'] / 1e6:.1f} and coordinates.npy {sizes['coordinates.npy'] / 1e6:.1f}."
    )


if __name__ == "__main__":
    main()
