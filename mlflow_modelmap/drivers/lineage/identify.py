"""Driver: what on a map a model is near, and whether it may come from there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.map.extend import rows_on
from mlflow_modelmap.drivers.map.parent import load_parent
from mlflow_modelmap.drivers.map.place import scores_on, selected_places
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.carried import effective_texts
from mlflow_modelmap.numerics.lineage.nearest_gap import NearestGap, gap_and_error
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.listed import listed

PARENTS_FOUND, PARENTS_FOUND_ON_FEWER, PARENTS = (10, 14), (9, 12), 20
"""Of single parents in the study of docs/lineage.md, those that were the nearest of all models:
from where bases had learnt little to where they had learnt more, and on 50 texts."""
FEWER_TEXTS = 150
"""Below which those on 50 count; from here on it made no difference."""
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Identified:
    """What on a map a model is near.

    Attributes
    ----------
    name, run_id
        Of the model's score.
    map_run
        Of the map.
    nearest
        The ten nearest points, nearest first: ``point``, ``kl``, ``se`` (bits/byte),
        ``model_type``, ``trajectory``, ``gap`` (its KL less the nearest one's), ``gap_se`` (paired,
        over the same texts) and ``as_near``, whether chance may make that gap.
    families
        How many of them are of each model type.
    none_of_these
        Whether the model is farther from all points than every one of them is from its nearest.
    farther_than
        Share of the map's points that are nearer to their own nearest point than the model is.
    likely_parent
        The nearest point; None if the model is near to none of these.
    units
        How many texts, or documents that they are pieces of, the map's distances come from.
    notices
        What else is to be told, a sentence each.
    """

    name: str
    run_id: str
    map_run: str
    nearest: pd.DataFrame
    families: dict[str, int]
    none_of_these: bool
    farther_than: float
    likely_parent: str | None
    units: float
    notices: tuple[str, ...] = ()

    @property
    def trust(self) -> str:
        """How far the likely parent is to be trusted, in a sentence."""
        found = dict.fromkeys(self._parents_found())
        rates = dict.fromkeys(f"{rate:.0%}" for rate in self.parent_error_rate)
        return (
            "In the study of docs/lineage.md the nearest model was the parent for "
            f"{' to '.join(map(str, found))} of {PARENTS} models, so it was another for "
            f"{' to '.join(rates)}: a sibling that was trained on the same text is nearer than the "
            "parent."
        )

    @property
    def parent_error_rate(self) -> tuple[float, float]:
        """How often the nearest model was not the parent in that study: least and most."""
        low, high = self._parents_found()
        return (PARENTS - high) / PARENTS, (PARENTS - low) / PARENTS

    def _parents_found(self) -> tuple[int, int]:
        return PARENTS_FOUND_ON_FEWER if self.units < FEWER_TEXTS else PARENTS_FOUND

    def as_json(self) -> dict[str, Any]:
        """As plain values, for ``--json``."""
        table = self.nearest.astype(object).where(self.nearest.notna(), None)
        return {
            "name": self.name,
            "run_id": self.run_id,
            "map_run": self.map_run,
            "nearest": table.to_dict("records"),
            "families": self.families,
            "none_of_these": self.none_of_these,
            "farther_than": self.farther_than,
            "likely_parent": self.likely_parent,
            "parent_error_rate": list(self.parent_error_rate),
            "notices": list(self.notices),
        }


def identify(
    model: str | os.PathLike[str],
    map_run: str,
    *,
    texts: str | os.PathLike[str] | TextSet | None = None,
    settings: ScoringSettings | None = None,
    experiment: str | None = None,
    progress: bool = False,
) -> Identified:
    """Say what on a map a model is near; it is scored if it is not yet. No map is logged.

    Parameters
    ----------
    model
        A run id, the name of a score, or a model reference.
    map_run
        Run id of the map.
    texts, settings, experiment, progress
        As for `place_on_map`.

    Returns
    -------
    Identified

    Raises
    ------
    InputError
        If there is no such map, the model or the texts cannot be found, or what was scored is not
        what the map is made of.
    ScoringError
        If the model cannot be scored.
    """
    parent = load_parent(map_run)
    made = parent.map
    places = scores_on(
        [model], made, texts=texts, settings=settings, experiment=experiment, progress=progress
    )
    selected = selected_places(places, made.vector)
    if len(selected.runs) > 1 and not all(run.monitored for run in selected.runs):
        raise InputError(
            f"{os.fspath(model)!r} holds {len(selected.runs)} points, such as "
            f"{listed([run.name for run in selected.runs], 3)}; name one of them, or RUN_ID@NAME."
        )
    run_id = selected.runs[0].run_id
    if selected.runs[0].text_set != made.text_set:
        raise InputError(
            f"Run {run_id} was scored on the text set {selected.runs[0].text_set[:12]}, and the "
            f"map {map_run} is of {made.text_set[:12]}; score it on that one."
        )
    matrix, points = selected.matrix()
    last = len(points) - 1  # of a monitored training its last checkpoint
    notices: list[str] = []
    rows = rows_on(parent, matrix.keep_points(np.array([last])))
    kl, se = rows.kl[0, :-1], rows.se[0, :-1]
    own_points = made.points["run_id"].to_numpy() == points[last].run_id
    if points[last].imported and "row" in made.points:  # else it is the training's, or the model's
        own_points &= (made.points["row"] == points[last].row).fillna(False).to_numpy(bool)
    others = np.flatnonzero(~own_points)
    if len(others) < len(kl):
        notices.append("The model is on the map itself; its own points are left out.")
    if not len(others):
        raise InputError(f"The map {map_run} has no points but those of {model!r}.")
    order = others[np.argsort(kl[others], kind="stable")]
    near = order[:_SHOWN]
    sampling = made.sampling
    units = min(effective_texts(made.weights, made.texts), made.documents or made.texts)
    gaps = []
    for row in near:
        gap, error = gap_and_error(
            rows.coordinates[0],
            made.coordinates[row],
            made.coordinates[order[0]],
            None if sampling is None else sampling.expected,
            _clusters(sampling),
        )
        found = NearestGap(gap, error, len(others), units)
        gaps.append((gap, error, not found.another_is_nearer))
    of = made.points.iloc[near]
    table = pd.DataFrame(
        {
            "point": of["point"].to_numpy(),
            "kl": kl[near],
            "se": se[near],
            "model_type": of["model_type"].to_numpy(),
            "trajectory": of["trajectory"].to_numpy(),
            "gap": [gap for gap, _, _ in gaps],
            "gap_se": [error for _, error, _ in gaps],
            "as_near": [near_too for _, _, near_too in gaps],
        }
    )
    own = made.nearest.loc[made.nearest["rank"] == 1, "kl"].to_numpy()
    farther = float((own < kl[order[0]]).mean()) if len(own) else 1.0
    return Identified(
        name=points[last].name,
        run_id=run_id,
        map_run=made.run_id,
        nearest=table,
        families={str(k): int(v) for k, v in table["model_type"].dropna().value_counts().items()},
        none_of_these=farther == 1.0,
        farther_than=farther,
        likely_parent=None if farther == 1.0 else str(table["point"].iloc[0]),
        units=units,
        notices=(*selected.notices, *notices),
    )


def _clusters(sampling: Any) -> np.ndarray | None:
    """Which document each text is of, from 0, or None where each stands for itself."""
    if sampling is None or sampling.clusters is None:
        return None
    clusters = sampling.clusters
    found = np.empty(clusters.order.size, dtype=np.intp)
    found[clusters.order] = np.repeat(np.arange(len(clusters)), clusters.sizes)
    return found
