"""A map is given back from its run as it was made, and knows its points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, build_map, load_map
from tests.scored import DIGEST, write_family


@pytest.fixture
def family(store):
    return write_family(store)


def test_everything_comes_back_from_the_run(store, family):
    made = build_map(["test"])
    back = load_map(made.run_id)
    pd.testing.assert_frame_equal(back.points, made.points)
    pd.testing.assert_frame_equal(back.kl, made.kl)
    pd.testing.assert_frame_equal(back.kl_standard_error, made.kl_standard_error)
    pd.testing.assert_frame_equal(back.nearest, made.nearest)
    np.testing.assert_array_equal(back.coordinates, made.coordinates)
    for name in (
        "run_id",
        "experiment_id",
        "name",
        "entropy_bound",
        "explained",
        "perplexity",
        "text_set",
        "text_set_name",
        "texts",
        "mean_bytes",
        "notices",
    ):
        assert getattr(back, name) == getattr(made, name), name
    assert back.text_set == DIGEST


def test_unknown_points_and_runs_are_told_with_what_is_there(store, family):
    made = build_map(["test"])
    with pytest.raises(InputError, match=r"'tiny seed 0 step 3'.*'tiny seed 0 step 2'"):
        made.between("tiny seed 0 step 3", "tiny seed 0 step 2")
    with pytest.raises(InputError, match="no run"):
        load_map("0" * 32)
    with pytest.raises(InputError, match="kind 'score'"):
        load_map(family[0])
