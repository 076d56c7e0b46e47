"""Driver: studies of copies, layers, prompts and pairs for the page; `study_view.js` shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import label, records
from mlflow_modelmap.drivers.page.opened import Opened, key, units_of_run, whole
from mlflow_modelmap.figures import style
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_DRAWN = 200
"""Rows of a chart with a row each, beyond which none could be read; the table holds all."""


class Column(NamedTuple):
    """A column of a table: of which of the study's, its title, and of which its error."""

    of: str
    title: str
    se: str | None = None
    number: bool = False


class Table(NamedTuple):
    """A table of a study's artifact, with those of its columns that it has."""

    artifact: str
    title: str
    columns: tuple[Column, ...]


def _error(of: str, title: str, se: str | None = None) -> Column:
    return Column(of, f"{title} ± standard error", se or f"{of}_se", True)


_EXACT = (
    _error("exact_forward", "Exact KL(A || B)"),
    _error("exact_reverse", "Exact KL(B || A)"),
    _error("exact_top1", "Same likeliest token, share"),
)
TABLES = {
    schema.KIND_QUANTIZATION: (
        Table(
            "quantization",
            "Copies and their originals, bits per byte",
            (
                *(Column("model", "Model"), Column("precision", "Precision")),
                *(Column("original", "Original"), Column("copy", "Copy")),
                _error("kl", "KL", "se"),
                *_EXACT,
            ),
        ),
        Table(
            "alignment",
            "How alike the directions are in which copies of a type move (cosine)",
            (
                *(Column("precision", "Precision"), Column("model_type", "Type")),
                *(Column("mean", "Mean", None, True), Column("n", "Copies", None, True)),
            ),
        ),
    ),
    schema.KIND_LAYERS: (
        Table(
            "layers",
            "KL divergence between adjacent layers, bits per byte",
            (
                *(Column("model", "Model"), Column("model_type", "Type")),
                Column("layer_from", "From layer", None, True),
                Column("layer", "Layer", None, True),
                _error("kl", "KL", "se"),
            ),
        ),
        Table(
            "layers_exact",
            "Each layer against the last, token by token, bits per byte",
            (
                *(Column("model", "Model"), Column("layer", "Layer", None, True)),
                _error("forward", "KL(last || layer)"),
                _error("reverse", "KL(layer || last)"),
                _error("top1", "Same likeliest token, share"),
            ),
        ),
    ),
    schema.KIND_PROMPTS: (
        Table(
            "prompt_shifts",
            "Shifts from the reference prompt, bits per byte",
            (
                *(Column("model", "Model"), Column("prompt", "Prompt")),
                _error("kl", "KL", "se"),
                Column("bits_per_byte", "Bits per byte", None, True),
                _error("bits_change", "Change of bits per byte"),
            ),
        ),
        Table(
            "prompt_additivity",
            "Prompts that are others put together, bits per byte",
            (
                *(Column("model", "Model"), Column("prompt", "Prompt"), Column("parts", "Parts")),
                _error("kl", "KL", "se"),
                _error("kl_predicted", "KL of the sum of its parts' shifts"),
                _error("unexplained", "Share that the sum leaves"),
                _error("cosine", "Cosine with the sum"),
            ),
        ),
    ),
    schema.KIND_EXACT: (
        Table(
            "exact",
            "Pairs compared token by token, bits per byte",
            (
                *(Column("first", "A"), Column("second", "B")),
                _error("forward", "KL(A || B)"),
                _error("reverse", "KL(B || A)"),
                _error("js", "Jensen-Shannon"),
                _error("top1", "Same likeliest token, share"),
                _error("perplexity_ratio", "Perplexity of B over that of A"),
                Column("texts", "Texts", None, True),
                Column("tokens", "Tokens", None, True),
            ),
        ),
        Table(
            "by_domain",
            "The same by domain, bits per byte",
            (
                *(Column("pair", "Pair"), Column("domain", "Domain")),
                Column("texts", "Texts", None, True),
                _error("forward", "KL(A || B)"),
                _error("reverse", "KL(B || A)"),
                _error("top1", "Same likeliest token, share"),
            ),
        ),
    ),
}
"""What is told of a study of each kind, the first table always there; its rows are drawn."""


def study_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """A study's tables, and what is drawn of the first.

    Returns
    -------
    dict
        ``tables``: ``title``, ``columns`` (``of``, ``title``, ``se``, ``number``) and ``rows``;
        ``chart``: ``kind`` (``dots``, a row each, or ``lines``, by ``x``), ``title``, ``value`` (of
        the horizontal axis of dots, the vertical one of lines), ``rows`` with ``group``, ``label``
        or ``x``, ``value``, ``low``, ``high``, ``se``; ``colours`` by group; ``left_out``, how many
        rows are not drawn.

    Raises
    ------
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run
    kind = run.data.tags[schema.TAG_KIND]

    def made() -> dict[str, Any]:
        wanted = TABLES[kind]
        read = load_study(
            run.info.run_id,
            kind,
            tables=(wanted[0].artifact,),
            optional=tuple(table.artifact for table in wanted[1:]),
            columns={
                table.artifact: tuple(name for c in table.columns for name in (c.of, c.se) if name)
                + _DRAWN_TOO.get(table.artifact, ())
                for table in wanted
            },
            limits={"": PAGE},
            store=cast(MlflowClient, store),
        )
        texts = units_of_run(run.data.metrics)
        with whole(run):
            tables = [(of, read.tables[of.artifact]) for of in wanted if of.artifact in read.tables]
            return {
                "chart": _CHARTS[kind](tables[0][1], texts),
                "tables": [_told(of, table) for of, table in tables if len(table)],
            }

    return cache.get(key(run, "study"), made)


_DRAWN_TOO = {"exact": ("forward_low", "forward_high", "pair")}


def _told(of: Table, table: pd.DataFrame) -> dict[str, Any]:
    there = [column for column in of.columns if column.of in table.columns]
    names = dict.fromkeys(
        name for c in there for name in (c.of, c.se) if name and name in table.columns
    )
    return {
        "title": of.title,
        "columns": [{**c._asdict(), "se": c.se if c.se in table.columns else None} for c in there],
        "rows": records(table, list(names)),
    }


def _dots(
    table: pd.DataFrame, value: str, groups: pd.Series, labels: pd.Series, title: str
) -> dict[str, Any]:
    """A row each, those of one group in one colour, as they stand in the table."""
    rows = table.assign(group=groups.map(label), label=labels.map(label)).head(MOST_DRAWN)
    colours = style.colours(rows["group"])
    return {
        "kind": "dots",
        "title": title,
        "value": value,
        "colours": colours,
        "rows": records(rows, ("group", "label", "value", "se", "low", "high")),
        "left_out": max(0, len(table) - MOST_DRAWN),
    }


def _measured(table: pd.DataFrame, texts: float | None) -> pd.DataFrame:
    low, high = confidence_interval(table["kl"], table["se"], texts=texts)
    return table.assign(value=table["kl"], low=low, high=high)


def _copies(table: pd.DataFrame, texts: float | None) -> dict[str, Any]:
    found = _measured(table, texts).sort_values(["precision", "kl"], kind="stable")
    title = "KL between each quantised copy and its original"
    return _dots(found, "KL (bits/byte)", found["precision"], found["model"], title)


def _prompts(table: pd.DataFrame, texts: float | None) -> dict[str, Any]:
    found = _measured(table, texts)
    labels = found["model"].astype(str) + ", " + found["prompt"].astype(str)
    title = "KL of each prompt's shift from the reference prompt"
    return _dots(found, "KL (bits/byte)", found["prompt"], labels, title)


def _pairs(table: pd.DataFrame, texts: float | None) -> dict[str, Any]:
    missing = pd.Series(np.nan, index=table.index)
    ways = (("forward", "KL(A || B)"), ("reverse", "KL(B || A)"))
    parts = [
        pd.DataFrame(
            {
                "value": table[way],
                "se": table.get(f"{way}_se", missing),
                "low": table.get(f"{way}_low", missing),
                "high": table.get(f"{way}_high", missing),
                "group": words,
                "label": table["pair"],
            }
        )
        for way, words in ways
    ]
    found = pd.concat(parts).sort_index(kind="stable")
    title = "Exact KL of each pair, both ways"
    return _dots(found, "exact KL (bits/byte)", found["group"], found["label"], title)


def _layers(table: pd.DataFrame, texts: float | None) -> dict[str, Any]:
    found = _measured(table, texts).sort_values(["model", "layer"], kind="stable")
    found = found.assign(group=found["model"].map(label), x=found["layer"])
    return {
        "kind": "lines",
        "title": "KL from each layer to the one before it",
        "value": "KL (bits/byte)",
        "across": "layer",
        "colours": style.colours(found["group"]),
        "rows": records(found, ("group", "x", "value", "se", "low", "high")),
        "left_out": 0,
    }


_CHARTS: dict[str, Callable[[pd.DataFrame, float | None], dict[str, Any]]] = {
    schema.KIND_QUANTIZATION: _copies,
    schema.KIND_LAYERS: _layers,
    schema.KIND_PROMPTS: _prompts,
    schema.KIND_EXACT: _pairs,
}
