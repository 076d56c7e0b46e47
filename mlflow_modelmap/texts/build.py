"""Texts: build a text set from several sources: chunk, leave out, sample."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import LAST
from mlflow_modelmap.texts.read import is_plain_file, name_of, read_records
from mlflow_modelmap.texts.sample import sampled
from mlflow_modelmap.texts.sources.record import (
    Record,
    check_encodable,
    check_not_empty,
    chunked,
    refuse_duplicates,
    text_set_of,
)
from mlflow_modelmap.texts.text_set import TextSet

DUPLICATES = ("error", "drop", "keep")


@dataclass(frozen=True)
class Built:
    """A text set; how many texts were found, left out as empty or short, and as duplicates."""

    text_set: TextSet
    found: int
    left_out: int
    duplicates: int


def build_texts(
    sources: Sequence[str | os.PathLike[str]] = (),
    *,
    name: str = "texts",
    rows: Iterable[Record] = (),
    column: str = "text",
    domain_column: str | None = None,
    chunk_bytes: int | None = None,
    min_bytes: int = 1,
    size: int | None = None,
    seed: int = 0,
    duplicates: str = "error",
    drop_empty: bool = False,
    turns: str = LAST,
) -> Built:
    """Read sources in order, chunk their texts, leave out what is asked for, and sample.

    Parameters
    ----------
    sources
        As in `read_texts`. With several, texts without a domain get their source's name for it,
        each plain text file is one document, and documents of different sources are different.
    rows
        Further texts, such as those of `hub_dataset.read_dataset`.
    chunk_bytes
        Cut every text at so many bytes; if None, raw text at 1,024 and other texts not at all.
    min_bytes
        Leave out texts that are shorter, such as the last chunk of a document.
    size, seed
        Keep a sample of so many texts, in their order.
    duplicates
        ``error``, ``drop`` all but the first, or ``keep``.
    drop_empty
        Leave out empty texts instead of refusing them.
    turns
        Which turns of chats are responses, as in `read_texts`.

    Raises
    ------
    InputError
        If a source is missing or malformed, a text cannot be used, or none is left.
    """
    if duplicates not in DUPLICATES:
        raise InputError(
            f"Unknown treatment of duplicates {duplicates!r}; choose one of "
            f"{', '.join(DUPLICATES)}."
        )
    kept: list[Record] = []
    seen: set[str] = set()
    found = empty = dropped = 0
    for record in _all_records(sources, rows, column, domain_column, chunk_bytes, turns):
        found += 1
        if drop_empty and not record.text.strip():
            empty += 1
            continue
        check_not_empty(record)
        check_encodable(record)
        if min_bytes > 1 and len(record.text.encode("utf-8")) < min_bytes:
            empty += 1
            continue
        if duplicates == "drop":
            if record.key in seen:
                dropped += 1
                continue
            seen.add(record.key)
        kept.append(record)
    if not kept:
        raise InputError(
            "The sources hold no texts"
            + (f" ({empty} empty or too short ones were left out)" if empty else "")
            + "; at least one is needed."
        )
    if duplicates == "error":
        refuse_duplicates(kept)
    if size is not None:
        kept = [kept[index] for index in sampled([r.key for r in kept], size, seed)]
    return Built(text_set_of(name, kept, duplicates == "keep"), found, empty, dropped)


def _all_records(
    sources: Sequence[str | os.PathLike[str]],
    rows: Iterable[Record],
    column: str,
    domain_column: str | None,
    chunk_bytes: int | None,
    turns: str,
) -> Iterable[Record]:
    several = len(sources) > 1
    seen: dict[str, int] = {}
    for source in sources:
        label = name_of(source) if several else None
        place = ""
        if label is not None:
            seen[label] = seen.get(label, 0) + 1
            place = label if seen[label] == 1 else f"{label} {seen[label]}"
        plain = several and is_plain_file(source)
        for record in read_records(source, column, domain_column, chunk_bytes, turns):
            document = place if plain else record.document
            if several and not plain and document is not None:
                document = f"{place}: {document}"
            yield replace(
                record,
                domain=record.domain if record.domain is not None else label,
                document=document,
            )
    for record in rows:
        if chunk_bytes is None or not record.text.strip():
            yield record
        else:
            yield from chunked(record, chunk_bytes)
