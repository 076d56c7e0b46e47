"""Tracking: log-likelihood vectors as the table of one artifact, written and read back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import (
    LARGEST_LOG_LIKELIHOOD,
    LARGEST_STEP,
    LARGEST_TEXT,
    LARGEST_WEIGHT,
    LAYERS,
)

ROUNDING = 1e-4
"""Nats a token by which a sum in floating point may lie above 0."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """What one artifact holds: the model's own vector, and one a layer where there are any.

    `weights` are those of the texts, shape (N,), or None where they count alike; `documents` the
    numbers of their documents, int64, shape (N,), -1 for none, or None where none is known;
    `unconditional` the model's values of responses without their prompts, or None.
    """

    own: np.ndarray | None
    layers: dict[int, np.ndarray]
    scored_tokens: np.ndarray
    bytes: np.ndarray
    weights: np.ndarray | None = None
    documents: np.ndarray | None = None
    unconditional: np.ndarray | None = None


def vector_table(
    result: ScoreResult,
    metadata: Mapping[str, str] | None = None,
    weights: np.ndarray | None = None,
    documents: np.ndarray | None = None,
    prompts: bool = False,
) -> pa.Table:
    """The artifact's rows: one a text, layer null; with the lens one more a text and layer.

    `weights` are those of the text set, shape (N,), if it has any, and `documents` its documents by
    number, -1 for none; `prompts` whether its texts are responses.
    """
    layers = result.layer_log_likelihoods
    count = len(result.log_likelihoods)
    rows = 1 if layers is None else 1 + len(layers)
    values = [result.log_likelihoods] if layers is None else [result.log_likelihoods, *layers]
    numbers = np.repeat(np.arange(-1, rows - 1), count)
    layer = pa.array(numbers, mask=numbers < 0, type=pa.int64())
    columns = {
        "text": np.tile(np.arange(count, dtype=np.int64), rows),
        "layer": layer,
        "log_likelihood": np.concatenate(values).astype(np.float64, copy=False),
        "scored_tokens": np.tile(result.scored_tokens.astype(np.int64, copy=False), rows),
        "bytes": np.tile(result.bytes.astype(np.int64, copy=False), rows),
    }
    if weights is not None:
        columns[schema.WEIGHT_COLUMN] = np.tile(weights.astype(np.float64, copy=False), rows)
    if documents is not None:
        codes = np.tile(documents.astype(np.int64, copy=False), rows)
        columns[schema.DOCUMENT_COLUMN] = pa.array(codes, mask=codes < 0, type=pa.int64())
    if prompts or result.unconditional is not None:
        alone = np.full(count * rows, np.nan)
        if result.unconditional is not None:
            alone[:count] = result.unconditional
        columns[schema.UNCONDITIONAL_COLUMN] = pa.array(alone, mask=np.isnan(alone))
    table = pa.table(columns)
    return table.replace_schema_metadata(dict(metadata)) if metadata else table


def write_vectors(
    result: ScoreResult,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    weights: np.ndarray | None = None,
    documents: np.ndarray | None = None,
    prompts: bool = False,
) -> None:
    """Write the artifact; the file appears whole or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(
            vector_table(result, metadata, weights, documents, prompts),
            partial,
            compression="zstd",
            # All log-likelihoods differ: a dictionary of them is larger than they are.
            use_dictionary=["layer", "scored_tokens", "bytes"],
        )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def vectors_digest(vectors: Vectors) -> str:
    """SHA-256 (hex) over what an artifact says, whatever the order of its rows.

    The model's own rows, then each layer's, ascending: for each the layer (-1 for the model's own)
    and the number of texts as little-endian int64, then its columns in the order of the texts:
    ``log_likelihood`` (float64), ``scored_tokens`` and ``bytes`` (int64), ``weight`` (float64)
    where texts have any, and ``document`` (int64, -1 for none) where any is known, all
    little-endian; at the end ``unconditional_log_likelihood`` (float64) where it is known. So texts
    0 to N - 1 stand in it by their places.
    """
    sha = hashlib.sha256()
    own = {} if vectors.own is None else {-1: vectors.own}
    for layer, values in (*own.items(), *sorted(vectors.layers.items())):
        sha.update(np.array([layer, len(values)], dtype="<i8").tobytes())
        sha.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        for counts in (vectors.scored_tokens, vectors.bytes):
            sha.update(np.ascontiguousarray(counts, dtype="<i8").tobytes())
        if vectors.weights is not None:
            sha.update(np.ascontiguousarray(vectors.weights, dtype="<f8").tobytes())
        if vectors.documents is not None:
            sha.update(np.ascontiguousarray(vectors.documents, dtype="<i8").tobytes())
    if vectors.unconditional is not None:
        sha.update(np.ascontiguousarray(vectors.unconditional, dtype="<f8").tobytes())
    return sha.hexdigest()


def vectors_of(
    result: ScoreResult,
    weights: np.ndarray | None = None,
    documents: np.ndarray | None = None,
) -> Vectors:
    """What the artifact of a score will hold; `weights`, `documents` are the text set's, (N,)."""
    layers = result.layer_log_likelihoods
    return Vectors(
        own=result.log_likelihoods,
        layers={} if layers is None else dict(enumerate(layers)),
        scored_tokens=result.scored_tokens,
        bytes=result.bytes,
        weights=weights,
        documents=documents,
        unconditional=result.unconditional,
    )


def result_of(vectors: Vectors, provenance: Mapping[str, Any]) -> ScoreResult | None:
    """A score read back from its artifact, or None where the model's own rows are missing."""
    if vectors.own is None:
        return None
    layers = [vectors.layers[k] for k in sorted(vectors.layers)]
    return ScoreResult(
        log_likelihoods=vectors.own,
        scored_tokens=vectors.scored_tokens,
        bytes=vectors.bytes,
        layer_log_likelihoods=np.stack(layers) if layers else None,
        provenance=dict(provenance),
        unconditional=vectors.unconditional,
    )


def read_table(table: pa.Table) -> Vectors:
    """The vectors in a table of the columns of `schema.LOG_LIKELIHOOD_COLUMNS`.

    Columns `schema.WEIGHT_COLUMN`, `schema.DOCUMENT_COLUMN` and `schema.UNCONDITIONAL_COLUMN` may
    be there too.

    Raises
    ------
    ValueError
        If texts are missing or repeated, a value is not finite or a weight not positive; the
        message says which.
    """
    if table.num_rows == 0:
        raise ValueError("its vectors hold no rows")
    weighted = schema.WEIGHT_COLUMN in table.column_names
    needed = ("text", "log_likelihood", "scored_tokens", "bytes")
    for name in (*needed, schema.WEIGHT_COLUMN) if weighted else needed:
        if table[name].null_count:
            raise ValueError(f"its column {name} holds empty cells")
    text = _integers(table, "text")
    values = _numbers(table, "log_likelihood")
    tokens, size = _integers(table, "scored_tokens"), _integers(table, "bytes")
    wrong = ~(np.abs(values) <= LARGEST_LOG_LIKELIHOOD)  # of NaN too
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"its log-likelihood of text {text[at]} is {values[at]}")
    above = values > ROUNDING * (1 + np.maximum(tokens, 0))
    if above.any():
        at = int(np.argmax(above))
        raise ValueError(
            f"its log-likelihood of text {text[at]} is {values[at]:g}, above 0, which no "
            "probability gives"
        )
    if (tokens < 0).any():
        at = int(np.argmax(tokens < 0))
        raise ValueError(f"its text {text[at]} has {tokens[at]} scored tokens")
    if (size <= 0).any():
        raise ValueError(f"its text {text[int(np.argmax(size <= 0))]} has no bytes")
    if (size > LARGEST_TEXT).any():
        at = int(np.argmax(size > LARGEST_TEXT))
        raise ValueError(f"its text {text[at]} has {size[at]:,} bytes, which no text has")
    weight = _numbers(table, schema.WEIGHT_COLUMN) if weighted else np.ones(len(text))
    wrong = ~((weight <= LARGEST_WEIGHT) & (weight > 0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"its weight of text {text[at]} is {weight[at]}, not a positive number")
    document = _documents(table)
    groups = _by_layer(table)
    vectors: dict[int | None, np.ndarray] = {}
    alone, of_models = _unconditional(table, tokens), None
    common: tuple[np.ndarray, ...] | None = None
    for key, rows in groups:
        order, of = text[rows], "" if key is None else f" of layer {key}"
        if not np.array_equal(order, np.arange(len(order))):
            rank = np.argsort(order, kind="stable")
            if not np.array_equal(order[rank], np.arange(len(order))):
                raise ValueError(f"its texts{of} are not 0 to {len(order) - 1}, each once")
        else:
            rank = slice(None)  # type: ignore[assignment]
        vectors[key] = values[rows][rank]
        if key is None and alone is not None:
            of_models = alone[rows][rank]
        part = tuple(c[rows][rank] for c in (tokens, size, weight, document))
        if common is None:
            common = part
        elif not np.array_equal(common[1], part[1]):
            raise ValueError(f"its rows{of} are of other texts than its other rows")
        elif not np.array_equal(common[2], part[2]):
            raise ValueError(f"its rows{of} have other weights than its other rows")
        elif not np.array_equal(common[3], part[3]):
            raise ValueError(f"its rows{of} are of other documents than its other rows")
    assert common is not None
    own = vectors.pop(None, None)
    layers = {k: v for k, v in vectors.items() if k is not None}
    return Vectors(
        own,
        layers,
        common[0],
        common[1],
        common[2] if weighted else None,
        common[3] if (common[3] >= 0).any() else None,
        _whole(of_models),
    )


def _unconditional(table: pa.Table, tokens: np.ndarray) -> np.ndarray | None:
    """Of each row, NaN where it is null; None where nobody asked for it."""
    name = schema.UNCONDITIONAL_COLUMN
    if name not in table.column_names or table[name].null_count == table.num_rows:
        return None
    given = _numbers(table, name)
    known = np.asarray(table[name].is_valid())
    possible = (np.abs(given) <= LARGEST_LOG_LIKELIHOOD) & (given <= ROUNDING * (2 + tokens))
    wrong = known & ~possible
    if wrong.any():
        raise ValueError(f"its column {name} holds {given[int(np.argmax(wrong))]:g}")
    return given


def _whole(alone: np.ndarray | None) -> np.ndarray | None:
    """The model's own values without prompts: of all texts, or of none."""
    if alone is None or np.isnan(alone).all():
        return None
    missing = np.flatnonzero(np.isnan(alone))
    if len(missing):
        raise ValueError(f"its column {schema.UNCONDITIONAL_COLUMN} lacks text {missing[0]}")
    return alone


def _documents(table: pa.Table) -> np.ndarray:
    """The number of each row's document, -1 where it has none."""
    name = schema.DOCUMENT_COLUMN
    if name not in table.column_names:
        return np.full(table.num_rows, -1, dtype=np.int64)
    given = _numbers(table, name)
    known = ~np.isnan(given)
    wrong = known & ~((given >= 0) & (given < table.num_rows) & (given == np.floor(given)))
    if wrong.any():
        raise ValueError(
            f"its document {given[int(np.argmax(wrong))]:g} is no whole number from 0 to below the "
            "number of its rows"
        )
    return np.where(known, given, -1).astype(np.int64)


def _by_layer(table: pa.Table) -> Iterator[tuple[int | None, Any]]:
    """The rows of the model itself (None) and of each layer, one after another."""
    column = table["layer"]
    if column.null_count == table.num_rows:
        yield None, slice(None)
        return
    layer = _numbers(table, "layer")
    given = ~np.isnan(layer)
    found = np.unique(layer[given])
    if len(found) > LAYERS:
        raise ValueError(f"its rows are of {len(found):,} layers, and at most {LAYERS:,} are read")
    wrong = ~((found >= 0) & (found < LARGEST_STEP) & (found == np.floor(found)))
    if wrong.any():
        raise ValueError(f"its layer {found[wrong][0]:g} is no whole number from 0 on")
    if not given.all():
        yield None, ~given
    for number in found:
        yield int(number), layer == number


def _integers(table: pa.Table, name: str) -> np.ndarray:
    return _numbers(table, name, pa.int64())


def _numbers(table: pa.Table, name: str, kind: Any = None) -> np.ndarray:
    of, types = table[name].type, pa.types
    of = of.value_type if types.is_dictionary(of) else of
    checks = types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null
    if not any(check(of) for check in checks):
        raise ValueError(f"its column {name} holds something else than numbers")
    try:
        column = table[name].cast(kind or pa.float64())
    except pa.ArrowException:
        raise ValueError(f"its column {name} holds something else than numbers") from None
    return np.asarray(column.to_numpy())
