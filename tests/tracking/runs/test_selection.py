"""Which runs were asked for, read back from params that anybody may have written."""

from __future__ import annotations

import pytest

from mlflow_modelmap.tracking.runs.selection import Selection, list_in, selection_in

DEEP = "[" * 3000 + "]" * 3000


def test_what_was_asked_for_comes_back():
    asked = Selection.of(["a, b", "c"], "tags.x = 'y'", ["1"])
    params = {key: str(value) for key, value in asked.as_params().items()}
    params |= {"modelmap.experiments": '["a, b", "c"]', "modelmap.run_ids": '["1"]'}
    assert selection_in(params) == asked
    assert selection_in({}) is None


@pytest.mark.parametrize("written", [DEEP, "[1", "{}", "null", "a, b", "9" * 5000])
def test_what_is_no_list_is_one_text(written):
    assert list_in(written) == (written,)
