"""Driver: two points of a map compared, for the server page; `pair_panel.js` shows them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.page.cache import MOST_BYTES, PageCache
from mlflow_modelmap.drivers.page.exact import exact_payload
from mlflow_modelmap.drivers.page.json_values import plain
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.map_kl import Sampled, own_scale, sampled_texts, squares_of
from mlflow_modelmap.drivers.page.opened import Opened, key, unit, whole
from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.divergence.carried import (
    difference_error,
    effective_texts,
    half_of,
)
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.divergence.noise_floor import noise_sentence, pair_floor
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import read_rows
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE, PAGE_PAIRS
from mlflow_modelmap.tracking.runs.point import finite
from mlflow_modelmap.tracking.runs.selection import vector_in
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore
from mlflow_modelmap.words.vectors import CONDITIONAL, of_vectors

_SHOWN = ("kl", "se", "low", "high", "words", "half_in", "sharpness")
_OF_THE_TEXTS = ("texts", "mean_bytes")
LARGEST_COORDINATES = 64 * 2**20
"""Bytes of the coordinates that are read to say how few texts carry a KL."""


class Coordinates(NamedTuple):
    """Q of a map, or of two of its points, (K, N), and the weights of its texts, (N,), or None."""

    q: np.ndarray
    weights: np.ndarray | None


def pair_payload(
    store: ServerStore, opened: Opened, cache: PageCache, a: int, b: int
) -> dict[str, Any]:
    """KL between two points of a map, by row, with error, interval and words.

    Beside it the difference of their bits per byte (a less b) with its standard error and, where
    the map's coordinates are small enough to be read, how many texts make up half of the KL.

    Raises
    ------
    InputError
        If a row is none of the map's.
    TrackingError
        If an artifact is missing or damaged.
    """
    run = opened.run
    drawn = map_payload(store, opened, cache)
    names = drawn["names"]
    for row in (a, b):
        if not 0 <= row < len(names):
            raise InputError(
                f"There is no point {row} on this map; its points are 0 to {len(names) - 1}."
            )

    texts, mean_bytes = (finite(run.data.metrics.get(f"modelmap/{of}")) for of in _OF_THE_TEXTS)
    sampled = cache.get(key(run, "sampled texts"), sampled_texts(store, run))
    if sampled is None:  # of an earlier version, or of few points: the tables say it
        kl, se, read = _in_tables(store, run, cache, (a, b), len(names), texts)
    else:
        kl, se, read = _of_rows(store, run, (a, b), sampled)
    if not (math.isfinite(kl) and math.isfinite(se) and se >= 0):
        raise TrackingError(
            f"Run {run.info.run_id} is damaged: its KL of point {b} to point {a} is {kl} with the "
            f"standard error {se}; make it again."
        )
    worth, half = texts, None
    if read is not None:
        worth = effective_texts(read.weights, read.q.shape[1])
        half = half_of((read.q[0] - read.q[1]) ** 2)
    # Maps of earlier versions know no documents.
    units = finite(run.data.metrics.get("modelmap/documents")) or texts
    worth = min(worth, units) if worth and units else worth
    vector = vector_in(run.data.params)
    floor = pair_floor(*(drawn["noise_kl"][row] for row in (a, b)))
    compared = Comparison.of_kl(
        kl,
        se,
        texts=int(texts) if texts else None,
        documents=int(units) if units else None,
        half_in=half,
        noise_floor=floor,
        own=own_scale(store, run, cache),
        vector=vector,
        unit=cache.get(key(run, "unit"), lambda: unit(store, run)),
    )
    bits = [drawn["bits_per_byte"][row] for row in (a, b)]
    difference = None if None in bits else bits[0] - bits[1]
    error = None
    if difference is not None and worth and mean_bytes and vector == CONDITIONAL:
        error = float(difference_error(kl, mean_bytes, worth))
    return {
        **{name: plain(getattr(compared, name)) for name in _SHOWN},
        "vectors": of_vectors(vector),
        "noise": noise_sentence(floor) if compared.within_noise else None,
        "exact": exact_payload(store, run, (drawn["run_id"][a], drawn["run_id"][b]), cache),
        "bits_per_byte_difference": difference,
        "bits_per_byte_difference_se": error,
        "points": [
            {
                "row": row,
                "name": names[row],
                "bits_per_byte": drawn["bits_per_byte"][row],
                "bits_per_byte_se": drawn["bits_per_byte_se"][row],
            }
            for row in (a, b)
        ],
    }


def _in_tables(
    store: ServerStore,
    run: Run,
    cache: PageCache,
    pair: tuple[int, int],
    count: int,
    texts: float | None,
) -> tuple[float, float, Coordinates | None]:
    """KL and error of a pair from a map's tables; its two rows of the coordinates if not large."""
    a, b = pair
    # Both squares of more points would not stay in the cache, so only a column is read of them.
    whole_squares = 2 * 8 * count**2 <= MOST_BYTES
    row, column = (a, b) if whole_squares else (a, 0)
    made = squares_of(store, run, count, None if whole_squares else (b,))
    squares = cache.get(key(run, "squares" if whole_squares else f"squares {b}"), made)
    read = cache.get(key(run, "coordinates"), _coordinates(store, run, count, texts))
    of = None if read is None else Coordinates(read.q[[a, b]], read.weights)
    return float(squares.kl[row, column]), float(squares.se[row, column]), of


def _of_rows(
    store: ServerStore, run: Run, pair: tuple[int, int], sampled: Sampled
) -> tuple[float, float, Coordinates]:
    """KL and error of a pair from its two rows of the coordinates, which alone are read."""
    run_id = run.info.run_id
    root = store.get_run(run_id).info.artifact_uri
    client = cast(MlflowClient, store)
    q = read_rows(run_id, root, "coordinates.npy", pair, client, limit=PAGE_PAIRS)
    with whole(run):
        if not np.isfinite(q).all():
            raise ValueError("a coordinate is not finite")
        kl, se = kl_pairs(q, 0, 1, sampled.sampling)
    return float(kl), float(se), Coordinates(q, sampled.weights)


def _coordinates(
    store: ServerStore, run: Run, count: int, texts: float | None
) -> Callable[[], Coordinates | None]:
    """What reads the coordinates of a map, or None where they are large, missing or damaged."""

    def made() -> Coordinates | None:
        if not texts or 8 * count * texts > LARGEST_COORDINATES:
            return None
        try:
            arrays = load_study(
                run.info.run_id,
                schema.KIND_MAP,
                arrays=("coordinates",),
                limits={"": PAGE},
                store=cast(MlflowClient, store),
            ).arrays
        except TrackingError:
            return None
        q, weights = arrays["coordinates"], arrays.get(schema.STUDY_WEIGHTS)
        if q.shape != (count, int(texts)) or q.dtype != np.float64 or not np.isfinite(q).all():
            return None
        if weights is not None and weights.shape != (q.shape[1],):
            return None
        return Coordinates(q, weights)

    return made
