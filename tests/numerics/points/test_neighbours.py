"""Nearest points."""

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.points.neighbours import nearest


def line(*positions):
    return kl_with_standard_error(np.array(positions)[:, None] * np.array([[1.0, -1.0, 0.5]]))


def test_points_on_a_line_have_the_neighbours_one_sees():
    kl, se = line(0.0, 1.0, 3.0, 7.0)
    names = list("abcd")
    found = nearest(pd.DataFrame(kl, columns=names), pd.DataFrame(se, columns=names), k=2)
    listed = found.groupby("point")["neighbour"].agg("".join)
    assert listed.to_dict() == {"a": "bc", "b": "ac", "c": "ba", "d": "cb"}
    assert found["rank"].tolist() == [1, 2] * 4
    third = found[(found["point"] == "c") & (found["rank"] == 2)].iloc[0]
    assert (third["kl"], third["se"]) == (kl[2, 0], se[2, 0])


def test_of_equally_near_points_the_earlier_comes_first_and_never_oneself():
    kl = np.zeros((5, 5))
    found = nearest(kl, kl, k=2)
    assert found[found["point"] == 0]["neighbour"].tolist() == [1, 2]
    assert found[found["point"] == 3]["neighbour"].tolist() == [0, 1]


@pytest.mark.parametrize(("points", "rows"), [(1, 0), (2, 2), (3, 6)])
def test_few_points_have_fewer_neighbours(points, rows):
    kl, se = line(*range(points))
    assert len(nearest(kl, se, k=3)) == rows


def test_many_points_agree_with_a_full_sort():
    rng = np.random.default_rng(0)
    kl, se = kl_with_standard_error(rng.standard_normal((60, 20)))
    found = nearest(kl, se, k=7)["neighbour"].to_numpy().reshape(60, 7)
    np.testing.assert_array_equal(found, np.argsort(kl, axis=1, kind="stable")[:, 1:8])


def test_what_is_not_square_or_no_count_is_refused():
    with pytest.raises(InputError, match="not square"):
        nearest(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="0 neighbours"):
        nearest(np.zeros((3, 3)), np.zeros((3, 3)), k=0)
