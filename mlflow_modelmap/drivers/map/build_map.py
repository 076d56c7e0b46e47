"""Driver: gather scored runs into a model map, and log it as a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mlflow_modelmap.drivers.map.extend import extend as extended
from mlflow_modelmap.drivers.map.model_map import LARGE, ModelMap
from mlflow_modelmap.drivers.map.pairs import Pairs, pairs_of
from mlflow_modelmap.drivers.map.parent import load_parent
from mlflow_modelmap.drivers.map.record import OfTexts, log_map
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.map import COORDINATES, ColourBy
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_per_byte_standard_error,
    entropy_bound,
)
from mlflow_modelmap.numerics.matrix.coordinates import centre_of, coordinates_around
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.matrix.sampling import uneven_lengths
from mlflow_modelmap.numerics.points.embedding import check_open_tsne, pca, tsne
from mlflow_modelmap.numerics.points.identical import first_identical
from mlflow_modelmap.numerics.preprocessing.clipping import clip_bottom
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.runs.reading import readings
from mlflow_modelmap.tracking.runs.selection import vector_in
from mlflow_modelmap.tracking.runs.study_run import points_table
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.vectors import CONDITIONAL

DEEP = 3_000
"""Points above which t-SNE is made in three dimensions only where it is asked for."""


def build_map(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    vector: str = CONDITIONAL,
    layers: bool = False,
    clip: float | None = None,
    per_byte: bool = False,
    perplexity: float = 30.0,
    seed: int = 0,
    three_dimensions: bool = False,
    colour_by: ColourBy = "auto",
    extend: str | None = None,
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
    texts
        Of these only the runs on one text set: its name, digest or file; see `selection.on_texts`.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``, see `select`.
    layers
        Whether runs with layers give one point a layer.
    clip
        Quantile of all log-likelihoods below which they are raised to it (the paper uses 0.02 for
        pretraining); None for none. Bits per byte stay those of the whole log-likelihoods.
    per_byte
        Whether KL leaves out differences in proportion to the texts' bytes, for texts of unequal
        length; see `LogLikelihoodMatrix.per_byte`.
    perplexity, seed
        Of t-SNE.
    three_dimensions
        Whether t-SNE is made in three dimensions too for more than 3,000 points, which takes long;
        for fewer it always is.
    colour_by
        ``auto``, ``model_type``, ``trajectory`` or ``precision``.
    extend
        Run id of a map that the runs are put on: its points keep their coordinates to the bit, only
        the new points' KL are computed, and each new point is placed in its pictures by itself.
        Settings are that map's: `layers`, `clip`, `per_byte`, `perplexity`, `seed` and
        `three_dimensions` are not looked at.
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
    if clip is not None and not 0.0 <= clip < 1.0:
        raise InputError(f"The quantile to clip at is {clip}; give a number from 0 to below 1.")
    if extend is not None:
        vector = vector_in(find_run(extend, check_reachable()).data.params)
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    if extend is not None:
        return extended(
            load_parent(extend),
            selected,
            colour_by=colour_by,
            name=name,
            output_experiment=output_experiment,
            into=run_id,
        )
    matrix, members = selected.matrix(layers=layers)
    if len(members) < 2:
        raise InputError(
            f"Only one point was found, {shortened(members[0].name)!r}{selected.why()}, and a map "
            "needs at least two; score another model or select more runs."
        )
    if len(members) > LARGE:
        check_open_tsne()
    if per_byte:
        matrix = replace(matrix, per_byte=True)
        told = uneven_lengths(matrix.length_variation)
        selected.notices[:] = [notice for notice in selected.notices if notice != told]
    made, pairs, of_texts = _compute(
        matrix, members, vector, clip, perplexity, seed, selected.notices, deep=three_dimensions
    )
    return log_map(
        made,
        pairs.ordered,
        pairs.summary,
        of_texts,
        members,
        selection=selected.selection,
        store=selected.store,
        colour_by=colour_by,
        params={
            "layers": layers,
            "preprocessing.clip_quantile": clip,
            "per_byte": per_byte,
            "perplexity": perplexity,
            "seed": seed,
            "colour_by": colour_by,
            "readings": readings(members),
        },
        name=name,
        output_experiment=output_experiment,
        run_id=run_id,
    )


def _compute(
    matrix: LogLikelihoodMatrix,
    members: Sequence[Point],
    vector: str,
    clip: float | None,
    perplexity: float,
    seed: int,
    notices: list[str],
    *,
    deep: bool,
) -> tuple[ModelMap, Pairs, OfTexts]:
    used, value = matrix, None
    if clip:
        used, value, count = clip_bottom(matrix, clip)
        notices.append(
            f"{count:,} log-likelihoods below {value:.1f} nats, the quantile {clip:g}, were raised "
            "to it."
        )
    centre = centre_of(used)
    q = coordinates_around(used, centre)
    bits_se = bits_per_byte_standard_error(matrix)
    bound = entropy_bound(matrix)
    pairs = pairs_of(q, used.sampling, matrix.points, perplexity)
    components = pca(q, 3)
    drawn_at = components.coordinates[first_identical(q)]  # without the rounding between copies
    dimensions = (2, 3) if len(q) <= DEEP or deep else (2,)
    kl = None if pairs.squares is None else pairs.squares.kl.to_numpy()
    placed = {
        n: tsne(q, n, perplexity, seed, kl=kl, start=components.coordinates, near=pairs.near)
        for n in dimensions
    }
    if placed[2].notice:
        notices.append(placed[2].notice)
    if dimensions == (2,):
        notices.append(
            f"t-SNE was made in two dimensions alone, as there are more than {DEEP:,} points; ask "
            "for three with --three-dimensions."
        )
    drawn = {
        column: values
        for key, found in (
            (("pca", 3), drawn_at),
            *((("tsne", n), embedding.coordinates) for n, embedding in placed.items()),
        )
        for column, values in zip(COORDINATES[key], found.T, strict=True)
    }
    rank = np.empty(len(q), dtype=np.int64)
    rank[pairs.ordered.order] = np.arange(len(q))
    points = points_table(members, bits_per_byte_se=bits_se, heatmap_row=rank, **drawn)
    made = ModelMap(
        run_id="",
        experiment_id="",
        name="",
        points=points,
        coordinates=q,
        nearest=pairs.nearest,
        entropy_bound=bound,
        explained=tuple(float(share) for share in components.explained),
        perplexity=placed[2].perplexity,
        text_set=members[0].text_set,
        text_set_name=members[0].text_set_name,
        texts=q.shape[1],
        mean_bytes=matrix.mean_bytes,
        notices=tuple(notices),
        weights=matrix.weights,
        documents=matrix.units,
        vector=vector,
        sampling=used.sampling,
        squares=pairs.squares,
    )
    texts = OfTexts(centre, matrix.text_bytes, matrix.documents, value)
    return made, pairs, texts
