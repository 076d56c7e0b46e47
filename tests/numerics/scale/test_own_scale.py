"""Groups of pairs as rows of one's own scale."""

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.own_scale import (
    beside_paper,
    kl_of_pairs,
    pairs_at_random,
    pairs_within,
    scale,
)


def test_a_group_is_its_median_mean_deviation_and_count():
    table = scale({"8-bit": [0.1, 0.4, 0.1, 0.2], "none": [], "ours": np.array([[2.0]])})
    assert table["group"].tolist() == ["8-bit", "ours"]
    first, second = table.itertuples(index=False)
    assert first.median == pytest.approx(0.15)
    assert first.mean == pytest.approx(0.2)
    assert first.sd == pytest.approx(np.std([0.1, 0.4, 0.1, 0.2], ddof=1))
    assert (first.n, second.n, second.median) == (4, 1, 2.0)
    assert np.isnan(second.sd)
    assert list(scale({}).columns) == ["group", "median", "mean", "sd", "n"]


def test_the_paper_s_medians_stand_beside_groups_that_it_has():
    table = beside_paper(scale({"8-bit": [0.5], "ours": [0.5]}))
    assert table["paper_median"].iloc[0] == 0.44
    assert np.isnan(table["paper_median"].iloc[1])


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_group_with_what_is_no_kl_is_refused(wrong):
    with pytest.raises(InputError, match="'mine' holds a KL of"):
        scale({"mine": [0.1, wrong]})


def test_pairs_are_read_by_name():
    names = ["a", "b", "c"]
    kl = pd.DataFrame(np.arange(9.0).reshape(3, 3), columns=names)
    assert kl_of_pairs(kl, [("a", "c"), ("c", "b")]).tolist() == [2.0, 7.0]
    assert kl_of_pairs(kl, []).size == 0
    with pytest.raises(InputError, match="no point 'z'"):
        kl_of_pairs(kl, [("a", "b"), ("a", "z")])


def test_pairs_within_labels_leave_out_the_unlabelled():
    i, j = pairs_within(["x", None, "y", "x", float("nan"), "y", "x"])
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 3), (0, 6), (2, 5), (3, 6)]
    assert pairs_within([None, None])[0].size == 0
    assert pairs_within([])[0].size == 0


def test_a_limit_draws_different_pairs_with_a_seed():
    i, j = pairs_at_random(20, limit=15, seed=3)
    assert len(set(zip(i, j, strict=True))) == 15
    assert (i < j).all()
    assert all(map(np.array_equal, pairs_at_random(20, 15, 3), (i, j)))
    assert not np.array_equal(pairs_at_random(20, 15, 4)[0], i)
    assert pairs_at_random(4, limit=100)[0].size == 6
    assert pairs_within(["x"] * 20, limit=15, seed=3)[0].size == 15
