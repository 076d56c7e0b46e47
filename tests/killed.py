"""Work in a process of its own, to be stopped by real signals at a moment that it announces."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HELD_UP = """
import os, sys, time
def here():
    print("here", flush=True)
    time.sleep(600)
"""
"""What comes before a script: `here()` says where it is, and stays there."""


def environment() -> dict[str, str]:
    """Of a process of its own that imports the tests, on one thread."""
    root = str(Path(__file__).parent.parent)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}


@contextlib.contextmanager
def working(script: str, *arguments: str, count: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a script and has said "here" so many times; ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", HELD_UP + script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        for _ in range(count):
            line = process.stdout.readline()
            while line and "here" not in line:
                line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()
