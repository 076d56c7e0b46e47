"""A figure as a PNG file of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DPI = 150


def write_png(figure: Any, path: Path) -> None:
    """Draw a matplotlib figure into a file: what `savefig` writes, to the pixel.

    It lays the figure out first and then draws once; `savefig` draws all of it a first time where
    a layout engine is set, which takes a sixth longer. The figure keeps its engine.
    """
    figure.set_dpi(DPI)
    engine = figure.get_layout_engine()
    if figure.axes and engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)
    figure.savefig(path, dpi=DPI, pil_kwargs={"compress_level": 2})
    figure.set_layout_engine(engine)
