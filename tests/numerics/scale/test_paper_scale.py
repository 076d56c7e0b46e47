"""The paper's scale."""

from mlflow_modelmap.numerics.scale.paper_scale import PAPER_SCALE


def test_the_table_is_the_paper_s():
    table = {row.group: (row.median, row.mean, row.sd) for row in PAPER_SCALE}
    assert table["8-bit"] == (0.44, 0.80, 1.9)
    assert table["Later"] == (0.011, 0.014, 0.0050)
    assert list(table)[-2:] == ["Random", "Layer"]
    assert len(table) == 10
