"""Texts: the files that texts come in, each read into records that know their place."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import CHATS, COLUMNS, LAST, is_prompt_row
from mlflow_modelmap.texts.sources.record import Record, record_of, records_of
from mlflow_modelmap.texts.sources.source import Source
from mlflow_modelmap.words.reason import reason

_BINARY_PROBE = 8192


def read_file(
    path: Path, column: str = "text", domain_column: str | None = None, turns: str = LAST
) -> Iterator[Record]:
    """The records of a JSON, JSONL, Parquet, CSV or TSV file, a plain text file or a folder.

    Parameters
    ----------
    column, domain_column
        Where text and domain stand in rows with names; dots lead into nested fields.
    turns
        Which turns of chats are responses; see `prompt.responses_of`.

    Raises
    ------
    InputError
        That names the file, and the line or row, if it is missing or malformed.
    """
    if not os.path.exists(path):
        raise InputError(
            f"There is no text file {str(path)!r}; give a JSON, JSONL, Parquet, CSV or plain text "
            "file, a folder of text files, or python-docs."
        )
    if path.is_char_device() or path.is_block_device():
        raise InputError(f"{str(path)!r} is a device, whose texts never end; give a file.")
    try:
        if path.is_dir():
            yield from _folder(path)
        elif (reader := _reader(path)) is not None:
            yield from reader(path, column, domain_column, turns)
        else:
            yield Record(_decoded(str(path), path.read_bytes()), str(path))
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read ({error.strerror or error}).") from None
    except RecursionError:
        raise InputError(
            f"{str(path)!r} cannot be read (its values are nested too deeply)."
        ) from None


def _decoded(where: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: not UTF-8 text (byte {error.start}); convert it to UTF-8."
        ) from None


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(_decoded(where, data))
    except ValueError as error:  # a number of thousands of digits too
        raise InputError(f"{where}: malformed JSON ({reason(error)}).") from None
    except RecursionError:
        raise InputError(f"{where}: malformed JSON (nested too deeply).") from None


def _entry(
    value: Any, where: str, column: str, domain_column: str | None, turns: str
) -> Iterator[Record]:
    if isinstance(value, str):
        yield Record(value, where)
        return
    if isinstance(value, Mapping):
        yield from records_of(value, where, column, domain_column, turns)
        return
    raise InputError(
        f"{where}: this is {'null' if value is None else type(value).__name__}, not a string nor "
        f"an object with {column!r}."
    )


def _json_list(path: Path, column: str, domain_column: str | None, turns: str) -> Iterator[Record]:
    """A JSON list of strings (or of objects with a text)."""
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if data.lstrip()[:1] == b"{" and len(data.splitlines()) > 1:
        try:
            json.loads(data.splitlines()[0])
        except (ValueError, RecursionError):
            pass
        else:
            raise InputError(f"{str(path)!r} holds one JSON object a line; name it .jsonl.")
    values = _parsed(data, str(path))
    if not isinstance(values, list):
        raise InputError(
            f"{str(path)!r} holds a JSON {type(values).__name__}, not a list of strings."
        )
    for index, value in enumerate(values):
        yield from _entry(value, f"{path}, entry {index}", column, domain_column, turns)


def _json_lines(path: Path, column: str, domain_column: str | None, turns: str) -> Iterator[Record]:
    """One JSON object with a text, or one JSON string, a line; blank lines do not count."""
    opener: Any = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield from _entry(_parsed(line, where), where, column, domain_column, turns)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise InputError(f"{str(path)!r} is damaged gzip ({reason(error)}).") from None


def _check_columns(names: Sequence[str], where: str, column: str) -> None:
    """Raise an InputError if a table has neither the text's column nor those of prompts."""
    there = column in names or column.partition(".")[0] in names
    if not there and not is_prompt_row(dict.fromkeys(names), column):
        record_of(dict.fromkeys(names), where, column)


def _parquet(path: Path, column: str, domain_column: str | None, turns: str) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{str(path)!r} is no readable Parquet file ({reason(error)}).") from None
    with file:
        names = file.schema_arrow.names
        wanted = {column, domain_column or "domain", "weight", "document", "system"}
        if column not in names:
            wanted |= set(COLUMNS)
        wanted |= {name.partition(".")[0] for name in wanted} | ({"meta"} - {domain_column})
        kept = [name for name in names if name in wanted]
        _check_columns(names, str(path), column)
        row = 0
        try:
            for batch in file.iter_batches(columns=kept):
                for values in batch.to_pylist():
                    where = f"{path}, row {row}"
                    yield from records_of(values, where, column, domain_column, turns)
                    row += 1
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{str(path)!r} cannot be read beyond row {row} ({reason(error)}); fetch it again."
            ) from None


def _csv(path: Path, column: str, domain_column: str | None, turns: str) -> Iterator[Record]:
    tab = path.name.lower().endswith(".tsv")
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t" if tab else ",", strict=True)
            if rows.fieldnames is not None:
                _check_columns(rows.fieldnames, str(path), column)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if None in row:
                    raise InputError(
                        f"{where}: more fields than the {len(rows.fieldnames or ())} columns; "
                        "quote texts that hold the separator."
                    )
                row = {name: _unfolded(name, row[name], column) for name in row}
                yield from records_of(row, where, column, domain_column, turns)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text (byte {error.start}); convert it to UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(
            f"{path}, line {rows.reader.line_num}: malformed CSV ({reason(error)})."
        ) from None
    finally:
        csv.field_size_limit(limit)


def _unfolded(name: str, cell: Any, column: str) -> Any:
    """A cell of a CSV file, which can hold messages as JSON only: then their list."""
    holds = name in ("prompt", *CHATS) or (name == column and column != "text")
    if not holds or not isinstance(cell, str) or not cell.lstrip().startswith("["):
        return cell
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    chat = isinstance(value, list) and all(
        isinstance(one, dict) and ("role" in one or "from" in one) for one in value
    )
    return value if chat and value else cell


def _folder(root: Path) -> Iterator[Record]:
    """The text files of a folder in the order of their paths.

    Hidden files and folders and files with NUL bytes are left out. A text's domain is the folder
    it lies in, directly below `root`; files at the top, beside folders, are of the domain `root`.
    Each file is a document.
    """
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    found = sorted(
        (path.relative_to(root) for path in found if path.is_file()), key=lambda p: p.as_posix()
    )
    nested = any(len(path.parts) > 1 for path in found)
    for path in found:
        data = (root / path).read_bytes()
        if b"\0" in data[:_BINARY_PROBE]:
            continue
        text = _decoded(str(root / path), data)
        domain = None
        if nested:
            domain = path.parts[0] if len(path.parts) > 1 else root.resolve().name
        if text.strip():
            yield Record(text, str(root / path), domain, document=path.as_posix())


_READERS: dict[tuple[str, ...], Callable[[Path, str, str | None, str], Iterator[Record]]] = {
    (".jsonl", ".ndjson", ".jsonl.gz"): _json_lines,
    (".json",): _json_list,
    (".parquet",): _parquet,
    (".csv", ".tsv"): _csv,
}
"""Who reads a file of records, by the ending of its name."""


def _reader(path: Path) -> Callable[[Path, str, str | None, str], Iterator[Record]] | None:
    """Who reads a file of records; None for raw text."""
    name = path.name.lower()
    return next((read for endings, read in _READERS.items() if name.endswith(endings)), None)


def _named(written: str) -> Path:
    return Path(written).expanduser()


def _is_raw(written: str) -> bool:
    """A folder, or a file in none of the formats with records."""
    return os.path.isdir(_named(written)) or _reader(_named(written)) is None


def _name(written: str) -> str:
    """The file's name without its ending, also that below ``.gz``."""
    path = _named(written)
    stem = path.resolve().name
    for ending in (".gz", path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix):
        stem = stem.removesuffix(ending) if os.path.isfile(path) else stem
    return stem or "texts"


SOURCE = Source(
    takes=lambda written: True,
    records=lambda written, column, domain, turns: read_file(
        _named(written), column, domain, turns
    ),
    is_raw=_is_raw,
    name=_name,
)
