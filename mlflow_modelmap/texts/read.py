"""Texts: read a text set from what the user names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.chunk import DEFAULT_BYTES
from mlflow_modelmap.texts.prompt import LAST, TURNS
from mlflow_modelmap.texts.sources import files, python_docs, python_qa
from mlflow_modelmap.texts.sources.record import (
    Record,
    check_encodable,
    check_not_empty,
    chunked,
    refuse_duplicates,
    text_set_of,
)
from mlflow_modelmap.texts.sources.source import Source
from mlflow_modelmap.texts.text_set import TextSet

SOURCES: tuple[Source, ...] = (python_docs.SOURCE, python_qa.SOURCE, files.SOURCE)
"""Kinds of sources; the first that takes what the user wrote is asked, and the last takes all."""


def read_records(
    source: str | os.PathLike[str],
    column: str = "text",
    domain_column: str | None = None,
    chunk_bytes: int | None = None,
    turns: str = LAST,
) -> Iterator[Record]:
    """The texts of a source, each with where it stood.

    Raw text (a folder, a plain text file) is cut at `chunk_bytes` (1,024 if None); texts from
    files of records are cut only if `chunk_bytes` is given. The pieces of a text are of one
    document; those of a plain text file are of none that is known, because such a file may hold one
    document or a whole corpus.

    Parameters
    ----------
    source, column, domain_column, turns
        As in `read_texts`.
    chunk_bytes
        UTF-8 bytes at which every text is cut.

    Raises
    ------
    InputError
        That names the file, and the line or row, if it is missing or malformed.
    """
    written = os.fspath(source)
    if not written.strip():
        raise InputError(
            "No texts were given; name a text file, a folder of text files, or python-docs."
        )
    kind = _kind(written)
    if chunk_bytes is None and kind.is_raw(written):
        chunk_bytes = DEFAULT_BYTES
    if turns not in TURNS:
        raise InputError(f"Unknown turns {turns!r}; choose one of {', '.join(TURNS)}.")
    for record in kind.records(written, column, domain_column, turns):
        if chunk_bytes is None or not record.text.strip():
            yield record
        elif is_plain_file(source):
            yield from (replace(one, document=None) for one in chunked(record, chunk_bytes))
        else:
            yield from chunked(record, chunk_bytes)


def is_plain_file(source: str | os.PathLike[str]) -> bool:
    """Whether a source is one file of raw text, of which nobody says how many documents it holds.

    Parameters
    ----------
    source
        As in `read_texts`.
    """
    written = os.fspath(source)
    return _kind(written).is_raw(written) and not os.path.isdir(os.path.expanduser(written))


def read_texts(
    source: str | os.PathLike[str],
    *,
    name: str | None = None,
    column: str = "text",
    domain_column: str | None = None,
    allow_duplicates: bool = False,
    turns: str = LAST,
) -> TextSet:
    """Read a text set.

    Parameters
    ----------
    source
        A JSON list of strings; JSONL (also gzipped) with ``text`` and optionally ``domain`` (or
        ``meta.pile_set_name``), ``weight`` and ``document``; a column of a Parquet, CSV or TSV
        file; rows of such files with ``prompt`` and ``response`` (and ``system``), or ``messages``
        (``conversations``), of which the responses are scored behind their prompts; a plain text
        file or a folder of them, cut at 1,024 bytes; or ``python-docs`` or
        ``python-docs:SIZE``, the documentation that ships with Python; or ``python-qa``,
        questions about it with their answers.
    name
        What to call it; the file's name without its ending if None.
    column, domain_column
        Where text and domain stand in rows with names; dots lead into nested fields.
    allow_duplicates
        Whether the same text may occur twice.
    turns
        Of chats: whether the assistant's ``last`` turn is the response, or ``every`` one of its
        turns, each behind all that was said before it.

    Raises
    ------
    InputError
        That names the file, and the line or row, if it is missing or malformed, or a text is
        empty, occurs twice or cannot be encoded.
    """
    records = []
    for record in read_records(source, column, domain_column, turns=turns):
        check_not_empty(record)
        check_encodable(record)
        records.append(record)
    if not records:
        raise InputError(f"{os.fspath(source)!r} holds no texts; at least one is needed.")
    if not allow_duplicates:
        refuse_duplicates(records)
    return text_set_of(name or name_of(source), records, allow_duplicates)


def is_built_in(source: str) -> bool:
    """Whether a word names texts that come with Python, and no file."""
    return _kind(source) is not files.SOURCE


def name_of(source: str | os.PathLike[str]) -> str:
    """What a text set is called if nobody says: for a file, its name without its ending."""
    written = os.fspath(source)
    return _kind(written).name(written)


def _kind(written: str) -> Source:
    return next(kind for kind in SOURCES if kind.takes(written))
