"""Driver: the texts that points were scored on, given again to be read."""

from __future__ import annotations

import os
from typing import Protocol

from mlflow_modelmap.drivers.score.on_texts import names_its_texts
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.shortened import shortened


class OnTexts(Protocol):
    """A score run or a map: something that was made on one text set."""

    @property
    def text_set(self) -> str: ...
    @property
    def text_set_name(self) -> str | None: ...


def texts_if_at_hand(
    given: str | os.PathLike[str] | TextSet, point: Point, notices: list[str]
) -> TextSet | None:
    """As `read_texts_of`; None, and a notice, where runs were only chosen by a name or digest.

    Parameters
    ----------
    given, point
        As there.
    notices
        Is told that the texts are not at hand.
    """
    try:
        return read_texts_of(given, point)
    except InputError:
        if not names_its_texts(given, point):
            raise
        notices.append(
            f"The texts {shortened(given)!r} chose the runs and are not at hand to be read; give "
            "their file, or put them into the store with `modelmap texts log`."
        )
        return None


def read_texts_of(given: str | os.PathLike[str] | TextSet, point: OnTexts) -> TextSet:
    """The text set, which must be the one that was scored.

    Parameters
    ----------
    given
        The texts, or where `load_texts` finds them.
    point
        Whatever knows the digest of its texts.

    Raises
    ------
    InputError
        If they cannot be read or are others; both digests are named.
    """
    text_set = load_texts(given, allow_duplicates=True)
    if text_set.digest != point.text_set:
        raise InputError(
            f"The texts {text_set.name!r} (digest {text_set.digest[:12]}) are not those that were "
            f"scored ({point.text_set_name or 'unnamed'}, digest {point.text_set[:12]}); give the "
            "same texts in the same order."
        )
    return text_set
