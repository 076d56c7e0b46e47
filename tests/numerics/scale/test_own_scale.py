"""Groups of pairs as rows of one's own scale."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.scale.own_scale import beside_paper, far, own_groups, scale


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


def test_a_group_is_told_by_what_is_far_from_what():
    assert far("8-bit", {"int8"}) == "your int8 copies are from their originals"
    assert far("4-bit", {"nf4", "fp4"}) == "your fp4 and nf4 copies are from their originals"
    assert far("4-bit") == "your 4-bit copies are from their originals"
    assert far("team\nwave") == "your models that share 'team wave' are apart"


def test_own_groups_are_those_that_can_be_told_by():
    table = scale({"8-bit": [0.5], "Random": [0.0], "ours": [0.1, 0.3]})
    told = own_groups(table.assign(far=["your int8 copies are from theirs", "nothing", None]))
    assert told == (
        (0.5, "your int8 copies are from theirs"),
        (pytest.approx(0.2), "your models that share 'ours' are apart"),
    )
    # Scale runs of version 0.1 have no such column.
    assert own_groups(table)[0].far == "your 8-bit copies are from their originals"
    assert own_groups(table.drop(columns="median")) == ()
    assert own_groups(table.astype({"median": object}).assign(median="x")) == ()
