"""A process is told by more than its number: gone, a zombie, another with the same number."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mlflow_modelmap.machine.processes import (
    lives,
    number_lives,
    read_process,
    this_process,
)


def test_this_process_lives_and_is_read_back():
    me = this_process()
    assert me.pid == os.getpid()
    assert read_process(me.written()) == me
    assert lives(me) is True
    assert lives(replace(me, started="")) is True


def test_a_process_that_ended_is_gone_even_before_somebody_asks_how_it_ended():
    me = this_process()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = replace(me, pid=process.pid, started="")
    assert lives(other) is True
    process.kill()
    until = time.monotonic() + 20
    while lives(other) and time.monotonic() < until:
        time.sleep(0.05)
    assert lives(other) is False  # a zombie by now
    process.communicate()
    assert lives(other) is False
    assert not number_lives(process.pid)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"started": "1"}, False),
        ({"pid": 0}, False),
        ({"pid": -1}, False),
        ({"pid": 10**12}, False),
        ({"host": "another"}, None),
        ({"space": "another"}, None),
    ],
)
def test_the_same_number_at_another_time_or_place_is_another_process(changed, expected):
    assert lives(replace(this_process(), **changed)) is expected


@pytest.mark.parametrize("text", ["", "no", "[]", '{"pid": 1}', '{"pid": "x"}', "[" * 50_000])
def test_what_is_no_process_is_none(text):
    assert read_process(text) is None
