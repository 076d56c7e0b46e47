"""Driver: a model map logged as a run of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.map.model_map import ModelMap
from mlflow_modelmap.drivers.map.pictures import pictures
from mlflow_modelmap.figures.map.map import ColourBy
from mlflow_modelmap.numerics.points.clustering import OrderedKL
from mlflow_modelmap.numerics.points.identical import first_identical
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.runs.study_run import square_table, write_study
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.vectors import of_vectors

_IDENTICAL = "Identical on every text, and one point in the pictures: "
_TOLD = 5
"""So many groups of identical points are named in a notice."""


class OfTexts(NamedTuple):
    """What a map's run holds of its texts, so that further points can be put on it.

    Attributes
    ----------
    centre
        The mean of the map's points, which lies at the origin of its coordinates; nats, shape (N,).
    bytes
        UTF-8 bytes, shape (N,).
    documents
        The number of each text's document, shape (N,), or None.
    clip_value
        The nats to which lower log-likelihoods were raised, or None.
    """

    centre: np.ndarray
    bytes: np.ndarray
    documents: np.ndarray | None
    clip_value: float | None

    def arrays(self) -> dict[str, np.ndarray]:
        """By the names of their files."""
        found = {schema.STUDY_CENTRE: self.centre, schema.STUDY_TEXT_BYTES: self.bytes}
        if self.documents is not None:
            found[schema.STUDY_DOCUMENTS] = self.documents
        return found


def log_map(
    made: ModelMap,
    ordered: OrderedKL,
    summary: Mapping[str, float],
    texts: OfTexts,
    members: Sequence[Point],
    *,
    selection: Selection | None,
    store: MlflowClient,
    colour_by: ColourBy,
    params: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame] | None = None,
    tags: Mapping[str, Any] | None = None,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> ModelMap:
    """Log a map, complete or FAILED; it comes back with its run.

    Parameters
    ----------
    made
        Without a run.
    ordered
        Its heatmap.
    summary
        Metrics of its pairs.
    texts
        What is kept of them.
    members
        A point for each row.
    selection
        Which runs it was asked for.
    store
        Where it goes.
    colour_by
        What the colours of its pictures say.
    params, tables, tags
        Of its run, beside what every map has.
    name, output_experiment, run_id
        See `write_study`.
    """
    made = with_identical(made)
    figures, page = pictures(made, ordered, colour_by)
    squares = {} if made.squares is None else made.squares._asdict()
    logged = write_study(
        schema.KIND_MAP,
        tables={
            "points": made.points,
            **{
                {"kl": "kl", "se": "kl_standard_error"}[of]: square_table(
                    square.columns, square.to_numpy()
                )
                for of, square in squares.items()
            },
            "nearest": made.nearest,
            **(tables or {}),
        },
        arrays={"coordinates": made.coordinates, **texts.arrays()},
        figures=figures,
        texts={"map.html": page},
        metrics={
            "points": len(made.points),
            "texts": made.texts,
            "mean_bytes": made.mean_bytes,
            "entropy_bound": made.entropy_bound,
            **summary,
            "documents": made.documents or made.texts,
            **{f"explained_{k}": share for k, share in enumerate(made.explained, 1)},
        },
        params={
            **params,
            "preprocessing.clip_value": texts.clip_value,
            "perplexity_used": made.perplexity,
        },
        tags={schema.TAG_NOTE: _note(made), **(tags or {})},
        selection=selection,
        notices=made.notices,
        members=members,
        weights=made.weights,
        name=name or "map",
        experiment=output_experiment,
        run_id=run_id,
        store=store,
    )
    info = store.get_run(logged).info
    return replace(
        made, run_id=logged, experiment_id=info.experiment_id, name=info.run_name or "map"
    )


def with_identical(made: ModelMap) -> ModelMap:
    """The map with the column ``identical_to`` of its points, and a notice, where there are copies.

    It names the first point with the same log-likelihood of every text, and is missing elsewhere.
    """
    # Coordinates know nothing of what is the same on all texts; a sum's rounding is no difference.
    bits = np.nan_to_num(made.points["bits_per_byte"].to_numpy(float)).round(9)
    first = first_identical(np.column_stack([first_identical(made.coordinates), bits]))
    own = np.arange(len(first))
    if np.array_equal(first, own):
        return made
    names = made.points["point"].to_numpy(dtype=object)
    same = pd.array([names[f] if f < k else None for k, f in enumerate(first)], dtype="string")
    groups = [names[first == f].tolist() for f in np.unique(first[first < own])]
    said = "; ".join(listed(group) for group in groups[:_TOLD])
    more = f"; and {len(groups) - _TOLD} more groups" if len(groups) > _TOLD else ""
    others = (notice for notice in made.notices if not notice.startswith(_IDENTICAL))
    return replace(
        made,
        points=made.points.assign(identical_to=same),
        notices=(*others, f"{_IDENTICAL}{said}{more}."),  # not those of the map it extends
    )


def _note(made: ModelMap) -> str:
    """What the UI shows as the run's description."""
    return (
        f"Model map{of_vectors(made.vector)} of {len(made.points):,} points on {made.texts:,} "
        "texts. The map to explore is the artifact "
        "`modelmap/map.html`; `mlflow_modelmap.load_map` gives everything back."
    )
