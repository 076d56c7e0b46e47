"""Texts: cut raw text into chunks of at most so many UTF-8 bytes, on character boundaries."""

from __future__ import annotations

from mlflow_modelmap.errors import InputError

DEFAULT_BYTES = 1024
_LONGEST_CHARACTER = 4


def chunk(text: str, size: int = DEFAULT_BYTES) -> list[str]:
    """Cut a text into consecutive pieces of at most `size` UTF-8 bytes.

    Nothing is lost: the pieces joined are the text. Each piece but the last is as long as whole
    characters allow, so at least ``size - 3`` bytes. The paper's texts are such chunks of 1,024
    bytes (Section 3).

    Parameters
    ----------
    size
        UTF-8 bytes.

    Raises
    ------
    InputError
        If `size` is below 4 (a character may take that many) or the text holds a lone surrogate.
    """
    if size < _LONGEST_CHARACTER:
        raise InputError(
            f"Chunks of {size} bytes cannot hold every character; give {_LONGEST_CHARACTER} or "
            "more."
        )
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"The text to chunk holds a lone surrogate (U+{ord(text[error.start]):04X} at "
            f"character {error.start}), which UTF-8 cannot encode; repair it."
        ) from None
    pieces = []
    start = 0
    while start < len(data):
        end = min(start + size, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[start:end].decode("utf-8"))
        start = end
    return pieces
