"""A real headless Chromium, its console recorded."""

from __future__ import annotations

import shutil
from typing import Any

MISSING = (
    "there is no Chromium with chromedriver and selenium here; install them (on Debian: apt-get "
    "install chromium chromium-driver)"
)


def chromium() -> Any | None:
    """A browser that has nothing kept; None where this machine has none."""
    try:
        from selenium import webdriver
    except ImportError:
        return None
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-unsafe-swiftshader",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_page_load_timeout(60)
    chrome.set_script_timeout(120)
    return chrome
