"""Figures: a grid of panels - how many columns and rows, and what is named at its edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlflow_modelmap.figures import style


class Panels:
    """A figure with a panel for each of some things, filled row by row.

    Parameters
    ----------
    things
        What the panels show, in order.
    size
        Width and height of a panel, inches.
    room
        Width and height that the figure has besides, for legends and the like.
    most_columns
        From how many on a new row begins.
    """

    def __init__(
        self,
        things: Sequence[Any],
        size: tuple[float, float],
        room: tuple[float, float] = (0.0, 0.0),
        most_columns: int = 3,
    ) -> None:
        self.things = list(things)
        self.columns = min(max(len(self.things), 1), most_columns)
        self.rows = max(1, -(-len(self.things) // self.columns))
        self.figure: Figure = style.figure(
            size[0] * self.columns + room[0], size[1] * self.rows + room[1]
        )

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """The panels' positions, from 1, each with what it shows."""
        return enumerate(self.things, 1)

    def axes(self, position: int, *, title: str | None = None, **options: Any) -> Axes:
        """The axes at a position, in the common style."""
        return style.panel(self.figure, self.rows, self.columns, position, title=title, **options)

    def name_edges(self, axes: Axes, position: int, across: str, up: str) -> None:
        """Name the axes of a panel where no panel stands below it, or to its left."""
        lowest = position > len(self.things) - self.columns
        first = position % self.columns == 1 or self.columns == 1
        axes.set_xlabel(across if lowest else "")
        axes.set_ylabel(up if first else "")
