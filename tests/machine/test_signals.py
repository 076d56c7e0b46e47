"""What is shielded comes to its end; the signal counts after it, a second one at once."""

from __future__ import annotations

import os
import signal

import pytest

from mlflow_modelmap.machine.signals import shielded


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_counts_once_the_block_has_ended():
    done = []

    def work():
        with shielded():
            interrupt()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_ends_it():
    done = []

    def work():
        with shielded():
            interrupt()
            interrupt()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_signal_nothing_happens():
    with shielded():
        pass
