"""Driver: further points put on a map that is there, whose own points stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.map.model_map import LARGE, NEAREST, ModelMap, Squares
from mlflow_modelmap.drivers.map.pairs import of_squares
from mlflow_modelmap.drivers.map.parent import Parent
from mlflow_modelmap.drivers.map.record import log_map
from mlflow_modelmap.drivers.study.selection import SelectedRuns
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.map import COORDINATES, ColourBy
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_per_byte_standard_error,
    entropy_bound,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates_around
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, shares_of
from mlflow_modelmap.numerics.points.all_neighbours import Nearest
from mlflow_modelmap.numerics.points.clustering import averaged
from mlflow_modelmap.numerics.points.embedding import check_open_tsne
from mlflow_modelmap.numerics.points.neighbours import neighbours_table
from mlflow_modelmap.numerics.points.placing import neighbours_kept, place, project
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.reading import (
    points_of_readings,
    readings,
    tell_of_unlike_reading,
)
from mlflow_modelmap.tracking.runs.study_run import StudyRun, points_table
from mlflow_modelmap.tracking.store.experiments import experiment_name

_BOUNDS = {"smallest_kl": min, "largest_kl": max, "largest_standard_error": max}


@dataclass(frozen=True, eq=False)
class Rows:
    """Further points of a map, not put on it yet.

    Attributes
    ----------
    coordinates
        Among those of the map, shape (n, N).
    kl, se
        With the points of the map and then with one another, shape (n, K + n), bits/byte.
    """

    coordinates: np.ndarray
    kl: np.ndarray
    se: np.ndarray


def rows_on(parent: Parent, matrix: LogLikelihoodMatrix) -> Rows:
    """Where further points lie on a map, and how far from all its points.

    Raises
    ------
    InputError
        If they were scored on other texts, other parts of them or other weights.
    """
    made, texts = parent.map, parent.texts
    own = None if made.weights is None else shares_of(made.weights)
    even = np.full(len(texts.bytes), 1.0 / len(texts.bytes))
    first, second = (even if of is None else of for of in (own, matrix.shares))
    sizes = np.array_equal(matrix.text_bytes, texts.bytes)
    if not (sizes and np.allclose(first, second, rtol=1e-9, atol=0.0)):
        raise InputError(
            f"What was scored of the texts, or their weights, is not what the map {made.run_id} is "
            "made of; score the models as those of the map were."
        )
    used = replace(matrix, per_byte=parent.run.params.get("modelmap.per_byte") == "true")
    if texts.clip_value is not None:
        used = replace(used, values=np.maximum(used.values, texts.clip_value))
    q = coordinates_around(used, texts.centre)
    count, every = len(made.coordinates), np.concatenate([made.coordinates, q])
    kl, se = kl_pairs(
        every, count + np.arange(len(q))[:, None], np.arange(len(every)), made.sampling
    )
    return Rows(q, kl, se)


def extend(
    parent: Parent,
    selected: SelectedRuns,
    *,
    colour_by: ColourBy,
    name: str | None,
    output_experiment: str | None,
    into: str | None,
) -> ModelMap:
    """Put the selected runs on a map that is there; see `build_map`."""
    check_open_tsne()
    made = parent.map
    layers = parent.run.params.get("modelmap.layers") == "true"
    _check_texts(made, selected.runs)
    matrix, found = selected.matrix(layers=layers)
    said = [*made.notices, *selected.notices]
    matrix, members = _new(parent, matrix, found, said)
    before = points_of_readings(parent.run.params.get(schema.PARAM_READINGS), "the map")
    if before:
        tell_of_unlike_reading([*before, *members], said)
    notices = list(dict.fromkeys(said))
    rows = rows_on(parent, matrix)
    count = len(made.points)
    names = [*made.points["point"], *matrix.points]
    q = np.concatenate([made.coordinates, rows.coordinates])
    squares = _squares(made, rows, names) if made.squares and len(q) <= LARGE else None
    drawn = _drawn(made, rows)
    old = made.points.copy()
    if "placed" not in old:
        old["placed"] = False
    new = points_table(
        members, bits_per_byte_se=bits_per_byte_standard_error(matrix), **drawn, placed=True
    )
    if squares is not None:
        pairs = of_squares(squares)
        nearest, ordered, summary = pairs.nearest, pairs.ordered, pairs.summary
    else:
        nearest = _nearest(made, rows, names)
        ordered = averaged(q, _order(old, rows))
        summary = _bounds(parent, rows)
    rank = np.empty(len(q), dtype=np.int64)
    rank[ordered.order] = np.arange(len(q))
    if "row" in new and "row" not in old:
        old["row"] = pd.array([None] * count, dtype="Int64")
    points = pd.concat([old, new], ignore_index=True)[[*old.columns]].assign(heatmap_row=rank)
    placed = _placed(made, rows, drawn, matrix.points)
    return log_map(
        replace(
            made,
            points=points,
            coordinates=q,
            nearest=nearest,
            entropy_bound=min(made.entropy_bound, entropy_bound(matrix)),
            notices=tuple(notices),
            squares=squares,
            placed=placed,
        ),
        ordered,
        summary,
        parent.texts,
        members,
        selection=selected.selection,
        store=selected.store,
        colour_by=colour_by,
        params={**_settings(parent.run), "colour_by": colour_by, "extends": made.run_id}
        | ({"readings": readings([*before, *members])} if before else {}),
        tables={"placed": placed},
        tags={schema.TAG_EXTENDS: made.run_id, schema.TAG_MEMBERS: points["run_id"].nunique()},
        name=name or f"{made.name} and {len(points) - count} more",
        output_experiment=output_experiment or experiment_name(made.experiment_id, selected.store),
        run_id=into,
    )


def _settings(run: StudyRun) -> dict[str, Any]:
    kept = ("layers", "per_byte", "perplexity", "seed", "preprocessing.clip_quantile")
    found = {name: run.params.get(f"modelmap.{name}") for name in kept}
    return {name: value for name, value in found.items() if value is not None}


def _check_texts(made: ModelMap, runs: Sequence[Point]) -> None:
    other = next((run for run in runs if run.text_set and run.text_set != made.text_set), None)
    if other is not None:
        raise InputError(
            f"{other.name!r} (run {other.run_id}) was scored on the text set "
            f"{other.text_set_name or 'unnamed'} ({other.text_set[:12]}), and the map "
            f"{made.run_id} is of {made.text_set_name or 'unnamed'} ({made.text_set[:12]}); score "
            "it on that one."
        )


def _new(
    parent: Parent, matrix: LogLikelihoodMatrix, found: Sequence[Point], notices: list[str]
) -> tuple[LogLikelihoodMatrix, list[Point]]:
    """Those points that are not on the map, under names that are not."""
    of = parent.map.points
    which = [of[name] for name in ("step", "layer", "row") if name in of]
    there = {
        (str(run), *(None if pd.isna(value) else int(value) for value in values))
        for run, *values in zip(of["run_id"], *which, strict=True)
    }
    keep = [
        k
        for k, p in enumerate(found)
        if (p.run_id, p.step, p.layer, p.row)[: 1 + len(which)] not in there
    ]
    if not keep:
        raise InputError(
            f"All of the {len(found)} selected points are on the map {parent.map.run_id} already; "
            "select others."
        )
    if len(keep) < len(found):
        notices.append(f"{len(found) - len(keep)} of the selected points were on the map already.")
    taken, members = set(of["point"]), []
    for k in keep:
        name = found[k].name
        for more in (f" ({found[k].run_id[:8]})", f" ({found[k].run_id})"):
            if name in taken:
                name = found[k].name + more
        taken.add(name)
        members.append(replace(found[k], name=name))
    part = matrix.keep_points(np.array(keep))
    return replace(part, points=tuple(member.name for member in members)), members


def _squares(made: ModelMap, rows: Rows, names: list[str]) -> Squares:
    assert made.squares is not None
    count = len(made.points)
    frames = []
    for old, new in zip(made.squares, (rows.kl, rows.se), strict=True):
        whole = np.empty((len(names), len(names)))
        whole[:count, :count] = old.to_numpy()
        whole[count:], whole[:, count:] = new, new.T
        frames.append(pd.DataFrame(whole, index=names, columns=names))
    return Squares(*frames)


def _drawn(made: ModelMap, rows: Rows) -> dict[str, np.ndarray]:
    """The pictures' coordinates of the new points, by column."""
    points, count = made.points, len(made.points)
    # Points that were put on it before have no say in where its components lie.
    own = np.flatnonzero(~points.get("placed", pd.Series(False, index=points.index)).to_numpy(bool))
    columns = list(COORDINATES["pca", 3])
    components = project(
        made.coordinates[own], points[columns].to_numpy(float)[own], rows.coordinates
    )
    found = dict(zip(columns, components.T, strict=True))
    for dimensions in (2, 3):
        columns = list(COORDINATES["tsne", dimensions])
        if not set(columns) <= set(points):
            continue
        at = components[:, :dimensions]
        if made.perplexity is not None:
            kl = rows.kl[:, :count]
            near = np.argsort(kl, axis=1, kind="stable")
            near = near[:, : max(1, int(np.ceil(3 * made.perplexity)))]
            at = place(
                points[columns].to_numpy(float),
                near,
                np.take_along_axis(kl, near, axis=1),
                made.perplexity,
            )
        found |= dict(zip(columns, at.T, strict=True))
    return found


def _nearest(made: ModelMap, rows: Rows, names: list[str]) -> pd.DataFrame:
    """The table of nearest points, of which the old points' rows change where a new one is near."""
    count = len(made.points)
    near = Nearest(len(names), NEAREST)
    row = {name: k for k, name in enumerate(names)}
    known = made.nearest
    at = (known["point"].map(row).to_numpy(), known["rank"].to_numpy() - 1)
    near.rows[at], near.kl[at], near.se[at] = (
        known["neighbour"].map(row).to_numpy(),
        known["kl"].to_numpy(),
        known["se"].to_numpy(),
    )
    old, new = slice(0, count), slice(count, len(names))
    near.add(old, new, rows.kl[:, :count].T, rows.se[:, :count].T)
    near.add(new, slice(0, len(names)), rows.kl, rows.se)
    return neighbours_table(names, near.rows, near.kl, near.se)


def _order(old: pd.DataFrame, rows: Rows) -> np.ndarray:
    """The heatmap's order, each new point behind the nearest of the map."""
    count = len(old)
    at = old["heatmap_row"].to_numpy(float)
    behind = at[rows.kl[:, :count].argmin(axis=1)] + 0.5
    return np.argsort(np.concatenate([at, behind]), kind="stable")


def _bounds(parent: Parent, rows: Rows) -> dict[str, float]:
    """The metrics of all pairs that follow from the map's own and the new rows: no median."""
    n, width = rows.kl.shape
    i, j = np.indices((n, width))
    others = j < width - n + i
    metrics = parent.run.metrics
    own = {
        "smallest_kl": rows.kl[others].min(),
        "largest_kl": rows.kl[others].max(),
        "largest_standard_error": rows.se[others].max(),
    }
    return {
        name: float(_BOUNDS[name](value, metrics.get(f"modelmap/{name}", value)))
        for name, value in own.items()
    }


def _placed(
    made: ModelMap, rows: Rows, drawn: dict[str, np.ndarray], names: Sequence[str]
) -> pd.DataFrame:
    """``placed.parquet``: how well each new point fits.

    Columns: ``point``, ``nearest``, ``nearest_kl``, ``nearest_se``; ``farther_than``, the share of
    the map's points that are nearer to their own nearest one; ``neighbours_kept``, the share of its
    ten nearest points that are among its ten nearest in the t-SNE in two dimensions;
    ``components_kept``, the share of its squared distance from the centre that the three principal
    components show.
    """
    count = len(made.points)
    kl = rows.kl[:, :count]
    near = kl.argmin(axis=1)
    each = np.arange(len(kl))
    own = np.sort(made.nearest.loc[made.nearest["rank"] == 1, "kl"].to_numpy())
    flat = list(COORDINATES["tsne", 2])
    length = np.square(rows.coordinates).sum(axis=1)
    shown = sum(np.square(drawn[column]) for column in COORDINATES["pca", 3])
    return pd.DataFrame(
        {
            "point": list(names),
            "nearest": made.points["point"].to_numpy()[near],
            "nearest_kl": kl[each, near],
            "nearest_se": rows.se[each, near],
            "farther_than": np.searchsorted(own, kl[each, near]) / max(len(own), 1),
            "neighbours_kept": neighbours_kept(
                kl, made.points[flat].to_numpy(float), np.stack([drawn[c] for c in flat], axis=1)
            ),
            "components_kept": shown / np.where(length > 0, length, np.inf),
        }
    )
