"""Texts: what every kind of source can do; `read.SOURCES` lists the kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlflow_modelmap.texts.sources.record import Record


@dataclass(frozen=True)
class Source:
    """A kind of place that texts come from; every function gets what the user wrote.

    Attributes
    ----------
    takes
        Whether it is of this kind.
    records
        Its texts, given also the names of the columns that hold text and domain (or None for the
        latter), and which turns of chats are responses; an InputError says what is missing or
        malformed, and where.
    is_raw
        Whether it holds raw text, which is cut into chunks unasked.
    name
        What a text set of it is called if nobody says.
    """

    takes: Callable[[str], bool]
    records: Callable[[str, str, str | None, str], Iterator[Record]]
    is_raw: Callable[[str], bool]
    name: Callable[[str], str]
