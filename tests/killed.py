"""Work in a process of its own, to be stopped by real signals at a moment that it announces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests import forking

HELD_UP = """
import os, sys, time
def here():
    print("here", flush=True)
    time.sleep(600)
"""
"""What comes before a script: `here()` says where it is, and stays there."""


@contextlib.contextmanager
def working(script: str, *arguments: str) -> Iterator[forking.Process]:
    """A process that runs a script and has said "here"; ended with the block."""
    process = forking.Process("-c", HELD_UP + script, *arguments)
    try:
        line = process.stdout.readline()
        while line and "here" not in line:
            line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()
