"""A page opened in headless Chromium that no driver watches, and asked for its times afterwards.

A browser with a driver works out every function's place in its source for the driver, which alone
takes a second of a first visit. Here a browser is only told to open an address; once it has nothing
left to do, a driver looks at the page's own marks.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator

import psutil
from selenium import webdriver

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"),
    *("--disable-background-networking", "--disable-dev-shm-usage", "--no-first-run"),
    "--window-size=1280,900",
)
QUIET_SECONDS = 1.0
MARK = "map drawn"


def visits(address: str, times: int) -> list[tuple[float, float]]:
    """Open an address so many times in a browser that has nothing kept.

    Returns
    -------
    list of tuple
        Ms from the navigation until the map was drawn, and the seconds of processor time that all
        processes of the browser took until nothing was left to do.
    """
    with _browser() as (process, port):
        found = []
        for _ in range(times):
            before = _settled(process)  # a tab that was closed is no process any more
            new = urllib.request.Request(
                f"http://127.0.0.1:{port}/json/new?{address}", method="PUT"
            )
            with urllib.request.urlopen(new) as answer:
                tab = json.load(answer)["id"]
            used = _settled(process) - before
            found.append((_marked(port, tab), used))
        return found


@contextlib.contextmanager
def _browser() -> Iterator[tuple[psutil.Process, int]]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    assert binary is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="modelmap-browser-", ignore_cleanup_errors=True) as own:
        started = subprocess.Popen(
            [
                *(binary, *ARGUMENTS, f"--remote-debugging-port={port}"),
                *(f"--user-data-dir={own}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/json/version").close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield psutil.Process(started.pid), port
        finally:
            started.terminate()
            started.wait(timeout=30)


def _used(process: psutil.Process) -> float:
    """Seconds of processor time of a browser and its processes so far."""
    total = 0.0
    for of in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(of.cpu_times()[:2])
    return total


def _settled(process: psutil.Process) -> float:
    """Wait until a browser has hardly anything to do; seconds of processor time so far."""
    time.sleep(1.5)
    before = _used(process)
    while True:
        time.sleep(QUIET_SECONDS)
        now = _used(process)
        if now - before < 0.03 * QUIET_SECONDS:
            return now
        before = now


def _marked(port: int, tab: str) -> float:
    options = webdriver.ChromeOptions()
    options.debugger_address = f"127.0.0.1:{port}"
    driver = shutil.which("chromedriver")
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        chrome.switch_to.window(tab)
        marks = chrome.execute_script(
            "return performance.getEntriesByName(arguments[0]).map((of) => of.startTime)", MARK
        )
        chrome.close()
        return float(marks[0])
    finally:
        chrome.service.stop()
