"""Texts: one text as a source gives it, with where it stood, so that errors can say so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.chunk import chunk
from mlflow_modelmap.texts.prompt import (
    LAST,
    Prompt,
    canonical,
    document_of,
    is_prompt_row,
    opening_of,
    responses_of,
)
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.shown import shown

# Where the domain stands if no column is named: our own files, then the Pile's.
DOMAIN_COLUMNS = ("domain", "meta.pile_set_name")
_RESPONSE = "the response"


@dataclass(frozen=True)
class Record:
    """A text, where it was found (``texts.jsonl, line 3``), and the document it is a piece of."""

    text: str
    where: str
    domain: str | None = None
    weight: float | None = None
    document: str | None = None
    prompt: Prompt | None = None

    @property
    def key(self) -> str:
        """What tells it from others: its text, with the prompt that it is the response to."""
        return self.text if self.prompt is None else f"{canonical(self.prompt)}\0{self.text}"


def _found(row: Mapping[str, Any], column: str) -> tuple[bool, Any]:
    """Whether a row has a column, whose name may lead into nested fields by dots, and its value."""
    if column in row:
        return True, row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


def records_of(
    row: Mapping[str, Any],
    where: str,
    column: str = "text",
    domain_column: str | None = None,
    turns: str = LAST,
) -> Iterator[Record]:
    """The records of a row: its text, or the responses in it, each with its prompt.

    Responses are of the row's document, else of one that all responses to the prompt are of; with
    every turn, of one that all turns behind the same opening are of.

    Parameters
    ----------
    row, where, column, domain_column
        As in `record_of`.
    turns
        As in `prompt.responses_of`.

    Raises
    ------
    InputError
        As there.
    """
    if not is_prompt_row(row, column):
        yield record_of(row, where, column, domain_column)
        return
    for prompt, response in responses_of(row, where, column, turns):
        about = record_of({**row, _RESPONSE: response}, where, _RESPONSE, domain_column)
        # The turns of a chat are no more independent than responses to one prompt.
        of = opening_of(prompt) if turns != LAST else prompt
        yield replace(about, prompt=prompt, document=about.document or document_of(of))


def record_of(
    row: Mapping[str, Any], where: str, column: str = "text", domain_column: str | None = None
) -> Record:
    """The record of a row with named fields.

    Its weight, if any, stands in ``weight``, and the document it is a piece of in ``document``.

    Parameters
    ----------
    row
        Fields by name.
    where
        What an error says of the place.
    column, domain_column
        Where text and domain stand; dots lead into nested fields.

    Raises
    ------
    InputError
        If the text is missing or no string, the named domain is missing, the weight is not a
        positive number, or the document is no name or number.
    """
    there, text = _found(row, column)
    if not there:
        raise InputError(
            f"{where}: there is no {column!r}, only {', '.join(map(repr, row)) or 'nothing'}; "
            "name the one that holds the text with --column."
        )
    if not isinstance(text, str):
        raise InputError(f"{where}: {column!r} is {_said(text)}, not a string.")
    domain = None
    for name in (domain_column,) if domain_column else DOMAIN_COLUMNS:
        there, domain = _found(row, name)
        if there and domain is not None:
            domain = str(domain)
            break
        if domain_column:
            raise InputError(
                f"{where}: there is no domain in {domain_column!r}, only in "
                f"{', '.join(map(repr, row))}."
            )
    weight, document = _weight(row.get("weight"), where), _document(row.get("document"), where)
    return Record(text, where, domain, weight, document)


def _weight(value: Any, where: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        weight = float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if isinstance(value, bool) or not math.isfinite(weight) or weight <= 0:
        raise InputError(f"{where}: the weight {shown(value)} is not a positive finite number.")
    return weight


def _document(value: Any, where: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value != value:
        raise InputError(
            f"{where}: the document {shown(value)} is no name or number; write which document the "
            "text comes from, or leave it out."
        )
    return str(value)


def _said(value: Any) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def check_encodable(record: Record) -> None:
    """Raise an InputError that names where a text with a lone surrogate stood."""
    try:
        record.key.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{record.where}: the text holds a lone surrogate "
            f"(U+{ord(record.key[error.start]):04X} at character {error.start}), which UTF-8 "
            "cannot encode; repair or leave out that text."
        ) from None


def check_not_empty(record: Record) -> None:
    """Raise an InputError that names where an empty text stood."""
    if not record.text.strip():
        kind = "text" if record.prompt is None else "response"
        raise InputError(
            f"{record.where}: the {kind} is empty or only white space; leave it out "
            "(`modelmap texts build --drop-empty`)."
        )


def chunked(record: Record, size: int) -> list[Record]:
    """A record cut at `size` bytes; pieces of only white space are left out.

    The pieces are of the record's document; of one without, they are of a document named by where
    it stood.

    Parameters
    ----------
    size
        UTF-8 bytes, 4 or more.

    Raises
    ------
    InputError
        If the text holds a lone surrogate, or the size is below 4.
    """
    check_encodable(record)
    if record.prompt is not None:
        raise InputError(
            f"{record.where}: a response to a prompt is not cut in chunks; leave the chunk size "
            "out."
        )
    pieces = chunk(record.text, size)
    document = record.document
    if document is None and len(pieces) > 1:
        document = PurePath(record.where).name
    return [
        replace(
            record,
            text=piece,
            document=document,
            where=record.where if len(pieces) == 1 else f"{record.where}, chunk {number}",
        )
        for number, piece in enumerate(pieces)
        if piece.strip()
    ]


def refuse_duplicates(records: Iterable[Record]) -> None:
    """Raise an InputError that names both places of the first text that occurs twice."""
    first: dict[str, str] = {}
    for record in records:
        if record.key in first:
            raise InputError(
                f"{record.where}: the text is the same as that of {first[record.key]}; drop one "
                "(`modelmap texts build --duplicates drop`) or allow it (`--allow-duplicates`)."
            )
        first[record.key] = record.where


def text_set_of(name: str, records: Sequence[Record], allow_duplicates: bool = False) -> TextSet:
    """The text set of some records, in their order.

    A weight that is missing counts 1 where others have one, a missing domain is ``other``, and a
    text without a document stands for itself.

    Parameters
    ----------
    records
        One or more.
    allow_duplicates
        Whether the same text may occur twice.

    Raises
    ------
    InputError
        If a text set cannot be made of them; see `TextSet`.
    """
    domains = weights = documents = None
    if any(record.domain is not None for record in records):
        domains = tuple("other" if r.domain is None else r.domain for r in records)
    if any(record.weight is not None for record in records):
        weights = tuple(1.0 if r.weight is None else r.weight for r in records)
    if any(record.document is not None for record in records):
        documents = tuple(r.document for r in records)
    texts = tuple(r.text for r in records)
    prompts = tuple(r.prompt for r in records if r.prompt is not None)
    if prompts and len(prompts) < len(records):
        plain = next(r for r in records if r.prompt is None)
        other = next(r for r in records if r.prompt is not None)
        raise InputError(
            f"{plain.where} holds a text and {other.where} a prompt with a response; a text set is "
            "of one kind, so read them apart."
        )
    return TextSet(
        name,
        texts,
        domains,
        weights,
        allow_duplicates,
        documents=documents,
        prompts=prompts or None,
    )
