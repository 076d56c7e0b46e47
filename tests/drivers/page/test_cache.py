"""The server's cache: the least recently used goes first, and never more than its bounds."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mlflow_modelmap.drivers.page.cache import PageCache


def test_the_cache_stays_within_its_bounds():
    cache = PageCache(most_bytes=10_000)
    made = []

    def make(key, size=3_000):
        return cache.get(key, lambda: made.append(key) or np.zeros(size // 8))

    for key in "abc":
        make(key)
    make("a")
    make("d")
    assert cache.held_bytes <= 10_000
    make("a")
    make("b")
    assert made == ["a", "b", "c", "d", "b"]
    make("huge", 50_000)
    make("huge", 50_000)
    assert made[-2:] == ["huge", "huge"]


def test_an_error_is_not_kept():
    cache = PageCache()

    def fails():
        raise KeyError("the artifact")

    with pytest.raises(KeyError, match="the artifact"):
        cache.get("a", fails)
    assert cache.get("a", lambda: "there by now") == "there by now"


def test_many_threads_are_given_the_same_part():
    cache = PageCache(most_bytes=20_000)
    found: list[list[int]] = []

    def ask():
        for k in range(200):
            found.append(cache.get(k % 7, lambda k=k: [k % 7] * 100))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1600
    assert {part[0] for part in found} == set(range(7))
    assert 0 < cache.held_bytes <= 20_000
