"""Driver: vectors in tables - Parquet and CSV with a row a point."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from mlflow_modelmap.drivers.exchange.in_file import (
    COLUMNS,
    LARGEST,
    NUMBERS,
    OF_OUR_TABLES,
    VALUES,
    VectorsInFile,
    check_count,
    path_of,
    reading,
    whole,
)
from mlflow_modelmap.drivers.exchange.npz import OF_SET, OF_TEXTS, as_float
from mlflow_modelmap.tracking.runs.artifacts import bytes_of
from mlflow_modelmap.tracking.runs.largest_sizes import MEBIBYTE, TEXT, NotRead, megabytes
from mlflow_modelmap.tracking.runs.parquet_table import read_parquet
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened

METADATA = b"mlflow_modelmap"
"""Key of a Parquet file's metadata under which it says what its texts are, as JSON."""
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""Columns of texts are called so."""
_CSV = "csv"
"""Key under which the JSON beside a CSV file says for which content of it."""
_INDEX = re.compile(r"__index_level_[0-9]+__")
"""What pandas calls an index without a name."""
_CELLS_A_GROUP = 4_000_000
_BLOCK = 2**26
_PART = 2**20
_MOST_SAID = 128 * MEBIBYTE
"""Of JSON about texts in a Parquet file: four million texts with weights and documents."""


def read_parquet_file(path: Path) -> VectorsInFile:
    """A Parquet file: a list column ``log_likelihoods``, or columns named 0 to N - 1.

    Raises
    ------
    InputError
        If it is no such file, or holds what does not fit.
    """
    with reading(path, "Parquet file"):
        data = bytes_of(path, LARGEST)
        table = read_parquet(data, LARGEST, lists=(VALUES,))
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            said = (file.schema_arrow.metadata or {}).get(METADATA) or b""
        if len(said) > _MOST_SAID:
            raise NotRead(
                f"says {megabytes(len(said))} of its texts, and {LARGEST.reader} reads at most "
                f"{megabytes(_MOST_SAID)}; give the texts with --texts, and a file without"
            )
        return _of_table(table, _of_texts(json.loads(said)) if said else {})


def read_csv_file(path: Path) -> VectorsInFile:
    """A CSV file with columns named 0 to N - 1; `beside` it may be what its texts are.

    Raises
    ------
    InputError
        If it is no such file, or holds what does not fit, or what is beside it was written for
        another content of it.
    """
    with reading(path, "CSV file"):
        with path.open("rb") as file:
            header = file.readline(_BLOCK).decode("utf-8-sig")
        names = pd.read_csv(io.StringIO(header), nrows=0, dtype=str).columns
        kinds = {
            name: pa.float64() if NUMBER.fullmatch(name) or name in NUMBERS else pa.string()
            for name in names
        }
        data = bytes_of(path, LARGEST)
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=kinds, null_values=[""], strings_can_be_null=True
            ),
        )
        held = _of_table(table, {})
    there = beside(path)
    if not there.is_file():
        return held
    with reading(path_of(there, TEXT), "JSON file"):
        said = json.loads(there.read_text(encoding="utf-8-sig"))
        of_texts = _of_texts(said)
        if said.get(_CSV) not in (None, _content(io.BytesIO(data))):
            raise NotRead(
                f"says what the texts of another file than {shortened(str(path))!r} are; get or "
                "export the two again, or, if you changed the vectors and not the texts, take "
                f'"{_CSV}" out of the JSON'
            )
    return VectorsInFile(held.values, held.points, **of_texts)


def can_be_tag(column: str, values_listed: bool) -> bool:
    """Whether a table's column of that name is read as a tag, and not as a text's or an index's.

    Parameters
    ----------
    values_listed
        Whether vectors are in one column (Parquet), rather than in columns 0 to N - 1 (CSV).
    """
    of_texts = column == "0" if values_listed else NUMBER.fullmatch(column)
    return not of_texts and not _INDEX.fullmatch(column)


def beside(path: Path) -> Path:
    """Where a CSV file's texts are described: ``vectors.texts.json`` of ``vectors.csv``."""
    return path.with_suffix(".texts.json")


def write_parquet_file(path: Path, held: VectorsInFile) -> None:
    """Write a Parquet file that `read_parquet_file` reads back as it was."""
    count, texts = held.values.shape
    kind = pa.from_numpy_dtype(held.values.dtype)
    field = pa.field(VALUES, pa.large_list(kind))
    schema = pa.Table.from_pandas(held.points, preserve_index=False).schema.append(field)
    schema = schema.with_metadata({METADATA: json.dumps(_said(held)).encode()})
    rows = max(1, _CELLS_A_GROUP // texts)
    plain = [name for name in schema.names if name != VALUES]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=plain) as writer:
        for start in range(0, count, rows):
            part = held.values[start : start + rows]
            offsets = pa.array(np.arange(len(part) + 1, dtype=np.int64) * texts)
            lists = pa.LargeListArray.from_arrays(offsets, pa.array(part.ravel()))
            points = held.points.iloc[start : start + rows]
            table = pa.Table.from_pandas(points, preserve_index=False)
            writer.write_table(table.append_column(field, lists).cast(schema))


def write_csv_file(path: Path, held: VectorsInFile) -> None:
    """Write a CSV file that `read_csv_file` reads back as it was, and `beside` it its texts."""
    table = pa.Table.from_pandas(held.points, preserve_index=False)
    columns = [pa.array(column) for column in held.values.T.astype(np.float64, order="C")]
    names = [*table.column_names, *map(str, range(len(columns)))]
    whole = pa.table([*table.columns, *columns], names=names)
    options = pa.csv.WriteOptions(batch_size=64)
    pa.csv.write_csv(whole, path, write_options=options)
    with path.open("rb") as file:
        said = _said(held) | {_CSV: _content(file)}
    beside(path).write_text(json.dumps(said), encoding="utf-8")


def _of_table(table: pa.Table, of_texts: dict[str, Any]) -> VectorsInFile:
    names = table.column_names
    if len(set(names)) < len(names):
        raise NotRead(f"has the column {next(n for n in names if names.count(n) > 1)!r} twice")
    if "point" not in names:
        raise NotRead("has no column point with the name of each vector")
    labels = [name for name in names if VALUES in names or not NUMBER.fullmatch(name)]
    check_count(table.num_rows, len(labels))
    if VALUES in names and "0" in names:
        raise NotRead(f"has a column {VALUES} and a column 0; leave out one of them")
    values = _lists(table) if VALUES in names else _numbered(table)
    used = {VALUES, *OF_OUR_TABLES, *filter(_INDEX.fullmatch, names)}
    points = {name: _cells(name, table[name]) for name in labels if name not in used}
    return VectorsInFile(values, pd.DataFrame(points), **of_texts)


def _cells(name: str, column: pa.ChunkedArray) -> pd.Series:
    """The cells as they are; what pandas wrote of a column beside it counts for nothing."""
    cells = column.to_pylist()
    number = next((c for c in cells if c is not None and not isinstance(c, str)), None)
    if name in COLUMNS and number is not None and number == number:  # NaN is none
        raise NotRead(f"holds {shortened(repr(number), 60)} in the column {name}, which is text")
    return pd.Series(cells, dtype=object)


def _lists(table: pa.Table) -> np.ndarray:
    column = table[VALUES].combine_chunks()
    if column.null_count:
        raise NotRead(f"has no vector in row {_first_null(column)}")
    lengths = np.asarray(pa.compute.list_value_length(column))
    if not len(lengths):
        return np.zeros((0, 0))
    if (lengths != lengths[0]).any():
        at = int(np.argmax(lengths != lengths[0]))
        counts = f"{lengths[at]} in row {at} and {lengths[0]} in row 0"
        raise NotRead(f"has vectors of unlike length, {counts}; give each point every text")
    flat = column.flatten()
    if flat.null_count:
        raise NotRead(f"has an empty value in row {_first_null(flat) // int(lengths[0])}")
    return as_float(flat.to_numpy(zero_copy_only=False)).reshape(len(lengths), int(lengths[0]))


def _numbered(table: pa.Table) -> np.ndarray:
    """The columns 0 to N - 1, whatever their order in the file."""
    numbers = sorted(int(name) for name in table.column_names if NUMBER.fullmatch(name))
    if not numbers:
        raise NotRead(
            f"has neither a column {VALUES} nor columns 0, 1, 2, ... with the log-likelihood of "
            f"each text; it has {listed(table.column_names, 8)}"
        )
    if numbers != list(range(len(numbers))):
        missing = next(at for at, number in enumerate(numbers) if at != number)
        raise NotRead(f"has {len(numbers)} columns of texts and no column {missing}")
    kinds = {str(table[str(n)].type) for n in numbers}
    values = np.empty(
        (table.num_rows, len(numbers)),
        dtype=np.float32 if kinds <= {"float", "halffloat"} else np.float64,
    )
    for number in numbers:
        column = table[str(number)]
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise NotRead(f"holds no numbers in the column {number}")
        if column.null_count:
            raise NotRead(
                f"has an empty cell in row {_first_null(column.combine_chunks())}, column {number}"
            )
        values[:, number] = column.to_numpy()
    return values


def _first_null(column: pa.Array) -> int:
    return int(np.argmax(np.asarray(column.is_null())))


def _content(file: BinaryIO) -> dict[str, Any]:
    """By which a file is known: two files cannot be replaced in one go."""
    sha = hashlib.sha256()
    while part := file.read(_PART):
        sha.update(part)
    return {"size": file.tell(), "sha256": sha.hexdigest()}


def _said(held: VectorsInFile) -> dict[str, Any]:
    """What a file says of its texts, for JSON."""
    of_texts = {name: getattr(held, name) for name in OF_TEXTS}
    lists = {name: array.tolist() for name, array in of_texts.items() if array is not None}
    return {name: getattr(held, name) for name in OF_SET if getattr(held, name)} | lists


def _of_texts(said: Any) -> dict[str, Any]:
    """The same, read back."""
    if not isinstance(said, dict):
        raise NotRead("says of its texts something else than names and values")
    found: dict[str, Any] = {}
    for name in OF_TEXTS:
        if name in said:
            found[name] = _list_of_numbers(name, said[name])
    for name in OF_SET:
        if said.get(name) is not None:
            if not isinstance(said[name], str):
                raise NotRead(f"says a {name} of its texts that is no text")
            found[name] = said[name]
    return found


def _list_of_numbers(name: str, values: Sequence[Any]) -> np.ndarray:
    wrong = not isinstance(values, list) or any(
        not isinstance(v, int | float) or isinstance(v, bool) for v in values
    )
    if wrong:
        raise NotRead(f"says {name} of its texts that are no list of numbers")
    if name == "weights":
        return np.array(values, dtype=np.float64)
    return whole(np.array(values), name)
