"""Words: whatever an error says as one sentence that fits on a screen."""

from __future__ import annotations

import re

from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened

_MOST = 650
_LONG_WORD = re.compile(r"\S{200,}")


def sentence(text: object) -> str:
    """`text` on one line with a full stop, long names cut in their middle, visibly."""
    line = _LONG_WORD.sub(lambda word: shortened(word[0]), one_line(text))
    line = shortened(line, _MOST)
    return line if line.endswith((".", "!", "?")) else f"{line}."
