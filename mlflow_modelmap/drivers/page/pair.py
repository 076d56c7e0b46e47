"""Driver: two points of a map compared, for the server page; `pair_panel.js` shows them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.map import map_payload, map_tables
from mlflow_modelmap.drivers.page.readable import Opened, key, whole
from mlflow_modelmap.drivers.pair.comparison import Comparison
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking.store.server_store import ServerStore

_SHOWN = ("kl", "se", "low", "high", "words")


class Squares(NamedTuple):
    """KL between all points of a map and its standard errors, bits/byte, (K, K)."""

    kl: np.ndarray
    se: np.ndarray


def pair_payload(
    store: ServerStore, opened: Opened, cache: PageCache, a: int, b: int
) -> dict[str, Any]:
    """KL between two points of a map, by row, with error, interval and words.

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

    def made() -> Squares:
        tables = map_tables(store, run, "kl", "kl_standard_error")
        with whole(run):
            kl, se = (table.drop(columns="point").to_numpy(dtype=np.float64) for table in tables)
        if kl.shape != (len(names), len(names)) or se.shape != kl.shape:
            raise TrackingError(
                f"Run {run.info.run_id} is damaged: its KL table of shape {kl.shape} does not fit "
                f"its {len(names)} points; make it again."
            )
        return Squares(kl, se)

    squares = cache.get(key(run, "squares"), made)
    compared = Comparison.of_kl(float(squares.kl[a, b]), float(squares.se[a, b]))
    return {
        **{name: getattr(compared, name) for name in _SHOWN},
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
