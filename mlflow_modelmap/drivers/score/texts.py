"""Driver: the texts that people name - a text set that knows where it was read from."""

from __future__ import annotations

import os
from dataclasses import replace

from mlflow_modelmap.texts.text_set import TextSet


def load_texts(texts: TextSet | str | os.PathLike[str]) -> TextSet:
    """A text set as it is given, or what `read_texts` makes of a path or name.

    Raises
    ------
    InputError
        If the texts cannot be read.
    """
    if isinstance(texts, TextSet):
        return texts
    from mlflow_modelmap.texts.read import read_texts

    written = os.fspath(texts)
    source = os.path.abspath(written) if os.path.exists(written) else written
    return replace(read_texts(written), source=source)
