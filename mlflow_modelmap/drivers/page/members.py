"""Driver: the members of a map for the server page: which may be opened, and colours by tags."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.json_values import label
from mlflow_modelmap.drivers.page.map import map_payload
from mlflow_modelmap.drivers.page.opened import Opened, key
from mlflow_modelmap.figures.map.map_data import groups_colouring
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.store.server_store import ServerStore

MOST_GROUPS = 60
"""Values of a tag beyond which colours tell nothing apart."""
KEPT_SECONDS = 30.0
"""For so long the tags of a map's members, and which of them are deleted, are not asked anew."""
# Long, or different for every run.
_NO_COLOURING = {
    *("mlflow.runName", "mlflow.note.content", schema.TAG_IDENTITY, schema.TAG_ERROR),
    *(schema.TAG_PROCESS, schema.TAG_HEARTBEAT),
}


def members_payload(store: ServerStore, opened: Opened, cache: PageCache) -> dict[str, Any]:
    """What the store says now of the runs that a map was made of.

    A run that was deleted, or lies in an experiment that the reader may not read, has no link and
    no tags; what the map itself holds of the point stays. The answer is kept for a short time,
    apart for those who may read other experiments.

    Returns
    -------
    dict
        ``experiments``: one id a point, None without a link; ``colourings``: one a tag that tells
        points apart, with ``values``, one a point.
    """
    readable = frozenset(experiment.experiment_id for experiment in store.experiments())

    def made() -> dict[str, Any]:
        ids = map_payload(store, opened, cache)["run_id"]
        runs = store.tags_by_id(ids, readable)
        members = [runs.get(run_id) for run_id in ids]
        return {
            "experiments": [of[0] if of else None for of in members],
            "colourings": _tag_colourings([of[1] if of else {} for of in members]),
        }

    return cache.get_for(KEPT_SECONDS, (*key(opened.run, "members"), readable), made)


def _tag_colourings(tags: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """The user's own tags first, then ours, then MLflow's."""
    count = Counter(name for of in tags for name in of)
    found = []
    for name in sorted(
        count, key=lambda n: (n.startswith("mlflow."), n.startswith("modelmap."), n)
    ):
        if name in _NO_COLOURING:
            continue
        values = [label(of[name]) if of.get(name) else None for of in tags]
        distinct = {value for value in values if value is not None}
        if len(distinct) < 2 and (not distinct or None not in values):
            continue
        numbers = _numbers(values)
        title = label(name)
        if numbers and len(distinct) > 6:
            found.append(
                {"kind": "scale", "column": f"tag:{name}", "title": title, "values": numbers}
            )
        elif len(distinct) <= MOST_GROUPS:
            entry = groups_colouring(values, f"tag:{name}", title)
            found.append({**entry, "values": values})
    return found


def _numbers(values: Sequence[str | None]) -> list[float | None] | None:
    """All of them as numbers, or None where one is none."""
    found: list[float | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        try:
            number = float(value)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        found.append(number)
    return found
