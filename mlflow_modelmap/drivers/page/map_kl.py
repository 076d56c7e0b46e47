"""Driver: where the KL divergences of a map come from, for what the server page tells of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.drivers.map.model_map import sampling_in
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.map import map_tables
from mlflow_modelmap.drivers.page.opened import key, whole
from mlflow_modelmap.drivers.pair.scale_at_hand import newest_scale, scales_on
from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.scale.own_scale import OwnGroup
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_sizes
from mlflow_modelmap.tracking.runs.largest_sizes import PAGE
from mlflow_modelmap.tracking.runs.study_run import load_study
from mlflow_modelmap.tracking.store.server_store import ServerStore

_NEWEST = 5
"""Scale runs that are looked at, should the newest be damaged."""


class Squares(NamedTuple):
    """KL between all points of a map and its standard errors, bits/byte, (K, K)."""

    kl: np.ndarray
    se: np.ndarray


class Sampled(NamedTuple):
    """How the texts of a map without tables were sampled, and their weights, (N,), or None."""

    sampling: Sampling
    weights: np.ndarray | None


def sampled_texts(store: ServerStore, run: Run) -> Callable[[], Sampled | None]:
    """What reads how the texts were sampled; None for a map that has tables of its pairs."""

    def made() -> Sampled | None:
        root = store.get_run(run.info.run_id).info.artifact_uri
        sizes = artifact_sizes(run.info.run_id, root, store.tracking_uri)
        if "kl.parquet" in sizes or f"{schema.STUDY_TEXT_BYTES}.npy" not in sizes:
            return None
        read = load_study(
            run.info.run_id,
            schema.KIND_MAP,
            arrays=(schema.STUDY_TEXT_BYTES,),
            optional=(schema.STUDY_DOCUMENTS,),
            limits={"": PAGE},
            store=cast(MlflowClient, store),
        )
        with whole(run):
            sampling = sampling_in(read)
            assert sampling is not None
            return Sampled(sampling, read.arrays.get(schema.STUDY_WEIGHTS))

    return made


def own_scale(store: ServerStore, run: Run, cache: PageCache) -> tuple[OwnGroup, ...]:
    """The newest scale on the map's texts beside it, in its experiment, which may be read."""
    tags = run.data.tags
    wanted = scales_on(tags.get(schema.TAG_TEXT_SET) or "")
    if wanted is None:
        return ()
    found = store.search([run.info.experiment_id], wanted, most=_NEWEST)

    def read(scale: Run) -> pd.DataFrame:
        def made() -> pd.DataFrame:
            own = load_study(
                scale.info.run_id,
                schema.KIND_SCALE,
                tables=("scale",),
                limits={"": PAGE},
                store=cast(MlflowClient, store),
            )
            return own.tables["scale"]

        return cache.get(key(scale, "own scale"), made)

    return newest_scale(found, tags.get(schema.TAG_TEXT_WEIGHTS), read)


def squares_of(
    store: ServerStore, run: Run, count: int, only: Sequence[int] | None = None
) -> Callable[[], Squares]:
    """What reads both squares of `count` points, or of both only the columns of some points."""

    def made() -> Squares:
        found = []
        for name in ("kl", "kl_standard_error"):
            with whole(run):
                # A column bears the name of its point, as the points' table writes it.
                wanted = None
                if only is not None:
                    points = map_tables(store, run, {name: ("point",)})[0]["point"]
                    wanted = tuple(str(points.iloc[row]) for row in only)
            (table,) = map_tables(store, run, {name: wanted})
            with whole(run):
                kept = table.drop(columns="point", errors="ignore")
                values = (kept if wanted is None else table[list(wanted)]).to_numpy(np.float64)
            if values.shape != (count, count if only is None else len(only)):
                raise TrackingError(
                    f"Run {run.info.run_id} is damaged: its KL table of shape {values.shape} does "
                    f"not fit its {count} points; make it again."
                )
            found.append(values)
        return Squares(*found)

    return made
