"""Groups of pairs as rows of one's own scale."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.own_scale import beside_paper, scale


def test_a_group_is_its_median_mean_deviation_and_count():
    table = scale({"8-bit": [0.1, 0.4, 0.1, 0.2], "none": [], "ours": np.array([[2.0]])})
    assert table["group"].tolist() == ["8-bit", "ours"]
    first, second = table.itertuples(index=False)
    assert first.median == pytest.approx(0.15)
    assert first.mean == pytest.approx(0.2)
    assert first.sd == pytest.approx(np.std([0.1, 0.4, 0.1, 0.2]))
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
