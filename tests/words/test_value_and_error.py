"""A value and its error are written alike by Python, by the pages, and whatever the numbers are."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from mlflow_modelmap.words.value_and_error import with_error
from tests.chromium import MISSING, chromium

TABLE = json.loads(Path(__file__).with_name("value_and_error.json").read_text(encoding="utf-8"))
"""Rows of value, error, text; numbers that JSON has no word for are written as text."""
RULE = (files("mlflow_modelmap.figures.map") / "value_and_error.js").read_text(encoding="utf-8")
RUN = "pairs.map(([value, error]) => ValueAndError.withError(value, error))"


def number(written: float | str | None) -> float | None:
    return None if written is None else float(written)


def in_javascript(pairs: list[tuple[float | None, float | None]]) -> list[str]:
    """What the pages' rule makes of values and errors: by node, or else in a browser."""
    given = json.dumps(pairs)  # with NaN and Infinity, which JavaScript reads as numbers
    node = shutil.which("node")
    if node:
        code = f"{RULE}\nconst pairs = {given};\nconsole.log(JSON.stringify({RUN}));"
        done = subprocess.run(
            [node, "-"], input=code, capture_output=True, encoding="utf-8", check=True, timeout=60
        )
        return json.loads(done.stdout)
    browser = chromium()
    if browser is None:
        pytest.fail(f"neither node nor a browser: {MISSING}")
    try:
        return browser.execute_script(f"{RULE}\nconst pairs = {given};\nreturn {RUN};")
    finally:
        browser.quit()


@pytest.mark.parametrize(("value", "error", "text"), TABLE)
def test_python_writes_what_the_table_says(value, error, text):
    assert with_error(number(value), number(error)) == text


def test_javascript_writes_what_the_table_says():
    pairs = [(number(value), number(error)) for value, error, _ in TABLE]
    assert in_javascript(pairs) == [text for _, _, text in TABLE]


def test_the_two_agree_on_numbers_of_every_size():
    draw = random.Random(0)
    pairs = []
    for _ in range(20_000):
        value = draw.choice((-1, 1)) * draw.uniform(0.1, 1) * 10.0 ** draw.randint(-12, 9)
        error = draw.uniform(0.1, 1) * abs(value) * 10.0 ** draw.randint(-6, 3)
        # Few digits make ties, in which languages round otherwise.
        digits = draw.randint(1, 6)
        pairs.append((float(f"{value:.{digits}g}"), float(f"{error:.{draw.randint(1, 4)}g}")))
        pairs.append((draw.randrange(-4000, 4000) / 64, draw.randrange(1, 400) / 64))
    assert in_javascript(pairs) == [with_error(value, error) for value, error in pairs]


def test_numbers_of_numpy_are_written_as_pythons():
    import numpy as np

    assert with_error(np.float64(0.5312), np.float64(0.0618)) == with_error(0.5312, 0.0618)
    assert with_error(np.float64(4.56e-5), np.float64(5.3e-6)) == with_error(4.56e-5, 5.3e-6)
