"""Tracking: a Parquet file that anybody may have written, read only as far as it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlflow_modelmap.tracking.runs.largest_sizes import Limit, NotRead, megabytes
from mlflow_modelmap.tracking.runs.parquet_pages import unpacked_bytes
from mlflow_modelmap.words.listed import listed


def read_parquet(
    data: bytes,
    limit: Limit,
    columns: Collection[str] | None = None,
    lists: Collection[str] = (),
) -> pa.Table:
    """The columns of these names that a file has; all, where none are named.

    Nothing is unpacked before the file's own facts are looked at.

    Parameters
    ----------
    lists
        Columns that may hold a list of numbers in each row.

    Raises
    ------
    NotRead
        If it is too large, or a column is there twice or holds no plain values; the message goes
        on behind the file's name.
    OSError, ValueError, pa.ArrowException
        If it is damaged.
    """
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        schema, facts = file.schema_arrow, file.metadata
        names = [n for n in dict.fromkeys(schema.names) if columns is None or n in columns]
        _check_schema(schema, names, lists)
        _check_rows(facts.num_rows, sum(_width(schema.field(n).type) for n in names), limit)
        if sum(_leaf_count(field.type) for field in schema) != facts.num_columns:
            raise NotRead("does not fit its own schema")
        unpacked, leaves = 0, _leaves(schema, set(names))
        for group in map(facts.row_group, range(facts.num_row_groups)):
            for leaf in leaves:
                chunk = group.column(leaf)
                in_memory = 8 * chunk.num_values if lists else 0
                unpacked += max(_unpacked(data, chunk), in_memory)
            _check_size(unpacked, limit)
        texts = [name for name in names if _is_text(schema.field(name).type)]
        if texts and facts.num_rows:
            _check_size(_length_of_texts(data, texts), limit)
        table = file.read(columns=names, use_threads=False)
    if table.column_names != names:
        raise NotRead("does not fit its own schema")
    return table


def _check_schema(schema: pa.Schema, names: Collection[str], lists: Collection[str] = ()) -> None:
    count = Counter(schema.names)
    for name in names:
        if count[name] > 1:
            raise NotRead(f"has the column {name[:60]!r} {count[name]} times")
    nested = [
        name[:60]
        for name in names
        if not _is_plain(schema.field(name).type)
        and not (name in lists and _is_list_of_numbers(schema.field(name).type))
    ]
    if nested:
        raise NotRead(f"holds no plain values in the column {listed(nested)}")


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    return not (pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    types = pa.types
    some = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return some and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_string_view(kind)
        or types.is_binary_view(kind)
    )


def _width(kind: pa.DataType) -> int:
    """Bytes that a value takes in memory, texts apart; 8 for what is less."""
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_decimal(kind):
        return max(8, kind.byte_width)
    return 8


def _leaf_count(kind: pa.DataType) -> int:
    """How many columns of the file a field is kept in."""
    if pa.types.is_dictionary(kind):
        return _leaf_count(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _leaf_count(kind.storage_type)
    if not pa.types.is_nested(kind):
        return 1
    return sum(_leaf_count(kind.field(k).type) for k in range(kind.num_fields))


def _leaves(schema: pa.Schema, names: Collection[str]) -> list[int]:
    """Which columns of the file hold these fields."""
    found, at = [], 0
    for field in schema:
        if field.name in names:
            found.append(at)
        at += _leaf_count(field.type)
    return found


def _check_rows(rows: int, width: int, limit: Limit) -> None:
    if rows > limit.rows:
        raise NotRead(f"has {rows:,} rows, and {limit.reader} reads at most {limit.rows:,}")
    _check_size(rows * width, limit)


def _check_size(size: int, limit: Limit) -> None:
    if size > limit.size:
        raise NotRead(
            f"unpacks to {megabytes(size)}, and {limit.reader} reads at most "
            f"{megabytes(limit.size)}"
        )


def _unpacked(data: bytes, chunk: pq.ColumnChunkMetaData) -> int:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < (chunk.dictionary_page_offset or 0) < start:
        start = chunk.dictionary_page_offset
    pages = unpacked_bytes(data, start, chunk.total_compressed_size, chunk.num_values)
    return max(pages, chunk.total_uncompressed_size)


def _length_of_texts(data: bytes, names: list[str]) -> int:
    """Bytes of all cells of columns of text: one long text may stand in every row."""
    total = 0
    with pq.ParquetFile(pa.BufferReader(data), read_dictionary=names) as file:
        for name in names:
            for chunk in file.read(columns=[name], use_threads=False).column(0).chunks:
                if isinstance(chunk, pa.DictionaryArray):
                    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
                    lengths = lengths.take(chunk.indices)
                else:
                    lengths = pc.binary_length(chunk).cast(pa.int64())
                total += pc.sum(lengths).as_py() or 0
    return total
