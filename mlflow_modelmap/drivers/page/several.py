"""Driver: KL between several points of a map, and from one to all; `several_panel.js` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.cache import MOST_BYTES, PageCache
from mlflow_modelmap.drivers.page.json_values import plain
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.map_kl import Sampled, own_scale, sampled_texts, squares_of
from mlflow_modelmap.drivers.page.opened import Opened, key, whole
from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.map_data import rounded
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.tracking.runs.artifacts import read_rows
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE_PAIRS
from mlflow_modelmap.tracking.runs.point import finite
from mlflow_modelmap.tracking.runs.selection import vector_in
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_POINTS = 40
"""Points of a matrix that a person can read."""
_UNITS = ("documents", "texts")
_BLOCK = 8 * 2**20
"""Bytes of coordinates that are held at once, while the KL from one point to all is measured."""


def several_payload(
    store: ServerStore, opened: Opened, cache: PageCache, rows: Sequence[int]
) -> dict[str, Any]:
    """KL between each two of some points of a map, by row.

    Returns
    -------
    dict
        ``rows`` as asked for, each once; ``kl`` and ``se``, bits/byte, a square of lists in that
        order; ``pairs``: ``a``, ``b`` (rows), ``kl``, ``se``, ``low``, ``high``, ``words``.

    Raises
    ------
    InputError
        If there are fewer than two or more than `MOST_POINTS`, or a row is none of the map's.
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run
    rows = list(dict.fromkeys(rows))
    count = _count(store, opened, cache, rows)
    if not 2 <= len(rows) <= MOST_POINTS:
        raise InputError(
            f"A KL matrix is of 2 to {MOST_POINTS} points, not {len(rows)}; choose "
            f"{'more' if len(rows) < 2 else 'fewer'}."
        )
    sampled = cache.get(key(run, "sampled texts"), sampled_texts(store, run))
    if sampled is not None:
        q = _coordinates(store, opened, rows)
        with whole(run):
            i, j = np.indices((len(rows), len(rows)))
            kl, se = kl_pairs(q, i, j, sampled.sampling)
    elif 2 * 8 * count**2 <= MOST_BYTES:
        read = cache.get(key(run, "squares"), squares_of(store, run, count))
        kl, se = (values[np.ix_(rows, rows)] for values in read)
    else:
        kl, se = (values[rows] for values in squares_of(store, run, count, rows)())
    documents, texts = (finite(run.data.metrics.get(f"modelmap/{of}")) for of in _UNITS)
    units, vector, own = (
        documents or texts,
        vector_in(run.data.params),
        own_scale(store, run, cache),
    )
    pairs = []
    for one in range(len(rows)):
        for other in range(one + 1, len(rows)):
            with whole(run):
                told = Comparison.of_kl(
                    float(kl[one, other]),
                    float(se[one, other]),
                    documents=int(units) if units else None,
                    own=own,
                    vector=vector,
                )
            pairs.append(
                {
                    **{"a": rows[one], "b": rows[other]},
                    **{of: plain(getattr(told, of)) for of in ("kl", "se", "low", "high", "words")},
                }
            )
    return {"rows": rows, "kl": _listed(kl), "se": _listed(se), "pairs": pairs}


def from_point_payload(
    store: ServerStore, opened: Opened, cache: PageCache, row: int
) -> dict[str, Any]:
    """KL from one point of a map to each: ``kl``, bits/byte, one a point.

    Raises
    ------
    InputError
        If the row is none of the map's.
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run
    count = _count(store, opened, cache, [row])

    def made() -> list[float]:
        sampled = cache.get(key(run, "sampled texts"), sampled_texts(store, run))
        if sampled is not None:
            kl = _to_all(store, opened, row, count, sampled)
        elif 2 * 8 * count**2 <= MOST_BYTES:
            kl = cache.get(key(run, "squares"), squares_of(store, run, count)).kl[row]
        else:
            kl = squares_of(store, run, count, [row])().kl[:, 0]
        return [rounded(value) for value in kl]

    return {"row": row, "kl": cache.get(key(run, f"from {row}"), made)}


def _to_all(
    store: ServerStore, opened: Opened, row: int, count: int, sampled: Sampled
) -> np.ndarray:
    """KL from one point to each, from the coordinates, of which a block is held at a time."""
    own = _coordinates(store, opened, [row])
    step = max(1, _BLOCK // own.nbytes)
    found = []
    for start in range(0, count, step):
        block = _coordinates(store, opened, range(start, min(count, start + step)))
        with whole(opened.run):
            q = np.concatenate([own, block])
            found.append(kl_pairs(q, 0, np.arange(1, len(q)), sampled.sampling)[0])
    return np.concatenate(found)


def _count(store: ServerStore, opened: Opened, cache: PageCache, rows: Sequence[int]) -> int:
    """How many points a map has, all of these rows among them."""
    count = len(map_payload(store, opened, cache)["names"])
    for row in rows:
        if not 0 <= row < count:
            raise InputError(
                f"There is no point {row} on this map; its points are 0 to {count - 1}."
            )
    return count


def _coordinates(store: ServerStore, opened: Opened, rows: Sequence[int]) -> np.ndarray:
    """Some rows of the coordinates, (len(rows), N)."""
    run_id = opened.run.info.run_id
    root = store.get_run(run_id).info.artifact_uri
    client = cast(MlflowClient, store)
    q = read_rows(run_id, root, "coordinates.npy", rows, client, limit=PAGE_PAIRS)
    with whole(opened.run):
        if not np.isfinite(q).all():
            raise ValueError("a coordinate is not finite")
    return q


def _listed(square: np.ndarray) -> list[list[float | None]]:
    return [[plain(float(value)) for value in row] for row in square]
