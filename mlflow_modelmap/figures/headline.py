"""Figures: what is said around a picture - above it what to see, below it how to read it."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from mlflow_modelmap.figures import style

_SIZE = 11.0
_READING_SIZE = 8.0
_WIDTH_OF_A_LETTER = 0.58
"""In units of the size; the widest that a line of DejaVu Sans is on average."""


def headline(figure: Figure, title: str, reading: str = "") -> None:
    """Say at the top left what to see, and at the bottom left how to read it.

    Parameters
    ----------
    title
        A statement, or a question that the picture answers.
    reading
        What is not in a legend: what an interval is, how many texts there were.
    """
    figure.suptitle(
        _wrapped(title, figure, _SIZE), x=0.012, ha="left", fontsize=_SIZE, color=style.INK
    )
    if reading:
        figure.supxlabel(
            _wrapped(reading, figure, _READING_SIZE),
            x=0.012,
            ha="left",
            fontsize=_READING_SIZE,
            color=style.QUIET_INK,
        )


def _wrapped(text: str, figure: Figure, size: float) -> str:
    width = 0.976 * figure.get_size_inches()[0] * 72.0
    letters = int(width / (_WIDTH_OF_A_LETTER * size))
    return "\n".join(textwrap.wrap(style.plain(text), max(letters, 20)))
