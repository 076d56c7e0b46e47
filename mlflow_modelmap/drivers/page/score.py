"""Driver: a score for the server page, and the maps it is on; `score_view.js` shows it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from mlflow.entities import Run

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import label
from mlflow_modelmap.drivers.page.map import map_tables
from mlflow_modelmap.drivers.page.opened import Opened, key, whole
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import finite, started
from mlflow_modelmap.tracking.runs.readable_or_refused import is_readable
from mlflow_modelmap.tracking.runs.search import of_kind
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_MAPS = 30
"""Maps on the same texts that are looked through, the latest ones."""
MOST_POINTS = 20
"""Points of one map that a run of many is told to be."""
_FACTS = {
    "Model": schema.TAG_MODEL,
    "Revision": schema.TAG_REVISION,
    "Type": schema.TAG_MODEL_TYPE,
    "Made from": schema.TAG_BASE_MODEL,
    "Trajectory": schema.TAG_TRAJECTORY,
    "Step": schema.TAG_STEP,
    "Precision": schema.TAG_PRECISION,
}


def score_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What a score is of, and on which maps that may be read it stands.

    Returns
    -------
    dict
        ``facts``, by their titles; ``bits_per_byte``, or None; ``maps``, latest first: ``run_id``,
        ``name``, ``experiment``, ``start_time``, ``points`` (names on it); ``looked_at``, how many
        maps on the same texts there were to look at, at most `MOST_MAPS`; ``most``.
    """
    run = opened.run
    tags = run.data.tags
    names = {of.experiment_id: label(of.name) for of in store.experiments()}
    texts = tags.get(schema.TAG_TEXT_SET) or ""
    found = []
    if texts.isalnum():
        done = f"attributes.status = 'FINISHED' AND tags.`{schema.TAG_TEXT_SET}` = '{texts}'"
        found = store.search(list(names), of_kind(schema.KIND_MAP, done), most=MOST_MAPS)
    maps = []
    for made in filter(is_readable, found):
        try:
            points = cache.get(key(made, "names"), partial(_names, store, made))
        except (InputError, TrackingError):  # another's, which opening it says
            continue
        own = points.get(run.info.run_id)
        if own:
            maps.append(
                {
                    "run_id": made.info.run_id,
                    "name": label(made.info.run_name or made.info.run_id),
                    "experiment": names.get(made.info.experiment_id, ""),
                    "start_time": started(made) or None,
                    "points": own[:MOST_POINTS],
                }
            )
    return {
        "facts": {title: label(tags[tag]) for title, tag in _FACTS.items() if tags.get(tag)},
        "bits_per_byte": finite(run.data.metrics.get(schema.METRIC_BITS_PER_BYTE)),
        "maps": maps,
        "looked_at": len(found),
        "most": MOST_MAPS,
    }


def _names(store: ServerStore, run: Run) -> dict[str, list[str]]:
    """The points of a map by their runs."""
    (table,) = map_tables(store, run, {"points": ("point", "run_id")})
    with whole(run):
        by_run: pd.Series = table.groupby("run_id", sort=False)["point"]
        return {str(run_id): [label(name) for name in of] for run_id, of in by_run}
