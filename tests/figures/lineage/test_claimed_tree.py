"""The claimed tree shows every model that is on no cycle, and KL with its error on every edge."""

from __future__ import annotations

from mlflow_modelmap.figures.lineage.claimed_tree import lineage_tree
from tests.figures.lineage.conftest import words


def test_kl_and_its_error_are_written_as_everywhere(table):
    said = words(lineage_tree(table))
    assert {"0.201 ± 0.012", "0.0457 ± 0.0032", "not measured", r"child \$x^"} <= set(said)
    assert "loop" not in said
    assert sum("±" in text for text in said) == 2
