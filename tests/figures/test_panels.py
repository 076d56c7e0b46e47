"""A grid of panels: full rows, named at its edges only."""

from __future__ import annotations

import pytest

from mlflow_modelmap.figures.panels import Panels


@pytest.mark.parametrize(
    ("count", "most", "columns", "rows"),
    [
        (0, 3, 1, 1),
        (1, 3, 1, 1),
        (2, 3, 2, 1),
        (3, 3, 3, 1),
        (4, 3, 3, 2),
        (7, 3, 3, 3),
        (5, 4, 4, 2),
    ],
)
def test_rows_are_full_but_for_the_last(count, most, columns, rows):
    panels = Panels(range(count), (2.0, 1.0), (0.5, 0.25), most_columns=most)
    assert (panels.columns, panels.rows) == (columns, rows)
    assert tuple(panels.figure.get_size_inches()) == (2.0 * columns + 0.5, rows + 0.25)


def test_only_what_has_no_neighbour_below_or_left_is_named():
    panels = Panels("abcde", (2.0, 2.0))
    axes = {}
    for position, thing in panels:
        axes[thing] = panels.axes(position, title=thing)
        panels.name_edges(axes[thing], position, "across", "up")
    assert len(panels.figure.axes) == 5
    assert [thing for thing, of in axes.items() if of.get_xlabel()] == ["c", "d", "e"]
    assert [thing for thing, of in axes.items() if of.get_ylabel()] == ["a", "d"]
