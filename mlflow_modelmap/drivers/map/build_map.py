"""Driver: gather scored runs into a model map, log it as a run, and load it back."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.map import COORDINATES, ColourBy
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_per_byte_standard_error,
    entropy_bound,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.points.embedding import pca, tsne
from mlflow_modelmap.numerics.points.neighbours import nearest
from mlflow_modelmap.numerics.preprocessing.clipping import clip_bottom
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.open_run import NOTE
from mlflow_modelmap.tracking.runs.select_runs import Point, read_matrix, select_runs
from mlflow_modelmap.tracking.runs.study_run import (
    WEIGHTS,
    load_study,
    points_table,
    square_table,
    write_study,
)
from mlflow_modelmap.tracking.store.client import check_reachable

NEAREST = 3


class Divergence(NamedTuple):
    """A KL divergence and its standard error, in bits/byte."""

    kl: float
    se: float


@dataclass(frozen=True, eq=False)
class ModelMap:
    """K points on N texts.

    Attributes
    ----------
    run_id, experiment_id, name
        Of the run that holds the map.
    points
        One row a point: ``point`` (its unique name), ``run_id``, ``model``, ``revision``,
        ``commit``, ``trajectory``, ``step``, ``model_type``, ``base_model``, ``precision``,
        ``layer``, ``bits_per_byte``, ``bits_per_byte_se`` and the map's coordinates: ``pca_1`` to
        ``pca_3``, ``tsne2_1``, ``tsne2_2``, ``tsne3_1`` to ``tsne3_3``.
    coordinates
        Q, double-centred and scaled, shape (K, N): squared distances are KL in bits/byte.
    kl, kl_standard_error
        Bits per byte, (K, K), rows and columns named by point.
    nearest
        Columns ``point``, ``rank``, ``neighbour``, ``kl``, ``se``.
    entropy_bound
        The text set's entropy is at most this, in bits/byte.
    explained
        Share of the variance of each principal component.
    perplexity
        Of t-SNE; None where the principal components stand in for it.
    text_set, text_set_name, texts, mean_bytes
        Digest, name, N and B of the text set.
    weights
        Of the texts, shape (N,), or None where they count alike.
    notices
        What was left out or done otherwise than asked, a sentence each.
    """

    run_id: str
    experiment_id: str
    name: str
    points: pd.DataFrame
    coordinates: np.ndarray
    kl: pd.DataFrame
    kl_standard_error: pd.DataFrame
    nearest: pd.DataFrame
    entropy_bound: float
    explained: tuple[float, ...]
    perplexity: float | None
    text_set: str
    text_set_name: str | None
    texts: int
    mean_bytes: float
    notices: tuple[str, ...] = ()
    weights: np.ndarray | None = None

    def between(self, a: str, b: str) -> Divergence:
        """KL divergence between two points, by name, with its standard error."""
        a, b = self._known(a), self._known(b)
        return Divergence(float(self.kl.at[a, b]), float(self.kl_standard_error.at[a, b]))

    def nearest_to(self, point: str, count: int = NEAREST) -> pd.DataFrame:
        """The nearest other points: columns ``neighbour``, ``kl``, ``se``."""
        row = self.kl.loc[self._known(point)].drop(point).sort_values(kind="stable").head(count)
        return pd.DataFrame(
            {
                "neighbour": row.index,
                "kl": row.to_numpy(),
                "se": self.kl_standard_error.loc[point, row.index].to_numpy(),
            }
        )

    def closest_pairs(self, count: int = 5) -> pd.DataFrame:
        """The pairs with the smallest KL: columns ``point``, ``other``, ``kl``, ``se``."""
        i, j = np.triu_indices(len(self.kl), 1)
        kl = self.kl.to_numpy()[i, j]
        order = np.argsort(kl, kind="stable")[:count]
        names = self.kl.columns.to_numpy()
        return pd.DataFrame(
            {
                "point": names[i[order]],
                "other": names[j[order]],
                "kl": kl[order],
                "se": self.kl_standard_error.to_numpy()[i[order], j[order]],
            }
        )

    def _known(self, point: str) -> str:
        if point not in self.kl.index:
            near = difflib.get_close_matches(str(point), list(self.kl.index), 3, 0.4)
            near = near or list(self.kl.index[:3])
            raise InputError(
                f"There is no point {point!r} on this map; there are, among others, "
                f"{', '.join(map(repr, near))}."
            )
        return point


def build_map(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    layers: bool = False,
    clip: float | None = None,
    perplexity: float = 30.0,
    seed: int = 0,
    colour_by: ColourBy = "auto",
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> ModelMap:
    """Gather scored runs into a model map and log it as one run of kind ``map``.

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs: experiments by name, an MLflow filter string, single runs. With none of
        them, the current experiment.
    layers
        Whether runs with layers give one point a layer.
    clip
        Quantile of all log-likelihoods below which they are raised to it (the paper uses 0.02 for
        pretraining); None for none. Bits per byte stay those of the whole log-likelihoods.
    perplexity, seed
        Of t-SNE.
    colour_by
        ``auto``, ``model_type``, ``trajectory`` or ``precision``.
    name, output_experiment, run_id
        Where it is logged: the run's name, another experiment than the members', an open run.

    Returns
    -------
    ModelMap

    Raises
    ------
    InputError
        If fewer than two points are there, or they were scored on different text sets.
    TrackingError
        If the store does not answer, or an artifact is missing or damaged.
    """
    experiments, run_ids = tuple(experiments), tuple(run_ids)
    if clip is not None and not 0.0 <= clip < 1.0:
        raise InputError(f"The quantile to clip at is {clip}; give a number from 0 to below 1.")
    store = check_reachable()
    notices: list[str] = []
    runs = select_runs(experiments, filter, run_ids, notices=notices, store=store)
    matrix, members = read_matrix(runs, layers=layers)
    if len(members) < 2:
        raise InputError(
            f"Only one point was found, {members[0].name!r}, and a map needs at least two; score "
            "another model or select more runs."
        )
    made = _compute(matrix, members, clip, perplexity, seed, notices)
    return _log(
        made,
        runs,
        colour_by,
        params={
            "experiments": list(experiments),
            "filter": filter or "",
            "run_ids": list(run_ids),
            "layers": layers,
            "preprocessing.clip_quantile": clip,
            "perplexity": perplexity,
            "seed": seed,
            "colour_by": colour_by,
        },
        name=name,
        output_experiment=output_experiment,
        run_id=run_id,
        store=store,
    )


def _compute(
    matrix: LogLikelihoodMatrix,
    members: Sequence[Point],
    clip: float | None,
    perplexity: float,
    seed: int,
    notices: list[str],
) -> ModelMap:
    used = matrix
    if clip:
        used, value, count = clip_bottom(matrix, clip)
        notices.append(
            f"{count:,} log-likelihoods below {value:.1f} nats, the quantile {clip:g}, were raised "
            "to it."
        )
    q = coordinates(used)
    kl, se = kl_with_standard_error(q, used.shares)
    components = pca(q, 3)
    flat, deep = (tsne(q, n, perplexity, seed, kl=kl) for n in (2, 3))
    if flat.notice:
        notices.append(flat.notice)
    drawn = {
        column: values
        for key, found in (
            (("pca", 3), components.coordinates),
            (("tsne", 2), flat.coordinates),
            (("tsne", 3), deep.coordinates),
        )
        for column, values in zip(COORDINATES[key], found.T, strict=True)
    }
    points = points_table(members, bits_per_byte_se=bits_per_byte_standard_error(matrix), **drawn)
    kl_frame, se_frame = (
        pd.DataFrame(values, index=list(matrix.points), columns=list(matrix.points))
        for values in (kl, se)
    )
    return ModelMap(
        run_id="",
        experiment_id="",
        name="",
        points=points,
        coordinates=q,
        kl=kl_frame,
        kl_standard_error=se_frame,
        nearest=nearest(kl_frame, se_frame, NEAREST),
        entropy_bound=entropy_bound(matrix),
        explained=tuple(float(share) for share in components.explained),
        perplexity=flat.perplexity,
        text_set=members[0].text_set,
        text_set_name=members[0].text_set_name,
        texts=q.shape[1],
        mean_bytes=matrix.mean_bytes,
        notices=tuple(notices),
        weights=matrix.weights,
    )


def _log(
    made: ModelMap,
    runs: Sequence[Point],
    colour_by: ColourBy,
    *,
    params: dict[str, Any],
    name: str | None,
    output_experiment: str | None,
    run_id: str | None,
    store: MlflowClient,
) -> ModelMap:
    from mlflow_modelmap.drivers.map.pictures import pictures

    figures, page = pictures(made, colour_by)
    above = np.triu_indices(len(made.kl), 1)
    kl = made.kl.to_numpy()[above]
    logged = write_study(
        schema.KIND_MAP,
        tables={
            "points": made.points,
            "kl": square_table(made.kl.columns, made.kl.to_numpy()),
            "kl_standard_error": square_table(made.kl.columns, made.kl_standard_error.to_numpy()),
            "nearest": made.nearest,
        },
        arrays={"coordinates": made.coordinates},
        figures=figures,
        texts={"map.html": page},
        metrics={
            "points": len(made.points),
            "texts": made.texts,
            "mean_bytes": made.mean_bytes,
            "entropy_bound": made.entropy_bound,
            "median_kl": float(np.median(kl)),
            "smallest_kl": float(kl.min()),
            "largest_kl": float(kl.max()),
            "largest_standard_error": float(made.kl_standard_error.to_numpy()[above].max()),
            **{f"explained_{k}": share for k, share in enumerate(made.explained, 1)},
        },
        params={
            **params,
            "perplexity_used": made.perplexity,
            "notices": json.dumps(made.notices, ensure_ascii=False),
        },
        tags={NOTE: _note(made)},
        members=runs,
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


def _note(made: ModelMap) -> str:
    """What the UI shows as the run's description."""
    return (
        f"Model map of {len(made.points):,} points on {made.texts:,} texts. The map to explore is "
        "the artifact `modelmap/map.html`; `mlflow_modelmap.load_map` gives everything back."
    )


def load_map(run_id: str) -> ModelMap:
    """What `build_map` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished map.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(
        run_id,
        schema.KIND_MAP,
        tables=("points", "kl", "kl_standard_error", "nearest"),
        arrays=("coordinates",),
    )
    perplexity = read.params.get("modelmap.perplexity_used")
    shares = (read.metrics.get(f"modelmap/explained_{k}") for k in (1, 2, 3))
    return ModelMap(
        run_id=read.run_id,
        experiment_id=read.experiment_id,
        name=read.name,
        points=read.tables["points"],
        coordinates=read.arrays["coordinates"],
        kl=_square(read.tables["kl"]),
        kl_standard_error=_square(read.tables["kl_standard_error"]),
        nearest=read.tables["nearest"],
        entropy_bound=read.metrics["modelmap/entropy_bound"],
        explained=tuple(share for share in shares if share is not None),
        perplexity=float(perplexity) if perplexity else None,
        text_set=read.tags.get(schema.TAG_TEXT_SET, ""),
        text_set_name=read.tags.get(schema.TAG_TEXT_SET_NAME),
        texts=read.arrays["coordinates"].shape[1],
        mean_bytes=read.metrics["modelmap/mean_bytes"],
        notices=_notices(read.params.get("modelmap.notices", "[]")),
        weights=read.arrays.get(WEIGHTS),
    )


def _notices(written: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(written))
    except ValueError:  # longer than MLflow keeps
        return (written,)


def _square(table: pd.DataFrame) -> pd.DataFrame:
    frame = table.set_index("point")
    return frame.rename_axis(index=None)
