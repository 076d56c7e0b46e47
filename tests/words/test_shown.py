"""A value in an error: as it is where it is short, cut where it is not."""

from __future__ import annotations

import pytest

from mlflow_modelmap.words.shown import shown

wide: list[object] = ["x"] * 10
for _ in range(20):
    wide = [wide] * 10
itself: list[object] = []
itself.append(itself)


@pytest.mark.parametrize("value", [3, -0.5, "a'b", None, True, ["a", 1], {"a": 1}, "x" * 100])
def test_a_short_value_is_its_repr(value):
    assert shown(value) == repr(value)


@pytest.mark.parametrize(
    "value", [wide, itself, "x" * 10**6, [10**6000], dict.fromkeys("abcdefgh", wide), range(10**9)]
)
def test_a_long_or_deep_value_is_cut(value):
    assert len(shown(value)) < 300
