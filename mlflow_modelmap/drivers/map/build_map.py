"""Driver: gather scored runs into a model map, and log it as a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.map.model_map import NEAREST, ModelMap
from mlflow_modelmap.drivers.map.pictures import pictures
from mlflow_modelmap.drivers.study.selection import SelectedRuns, select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.map import COORDINATES, ColourBy
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_per_byte_standard_error,
    entropy_bound,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.matrix.sampling import uneven_lengths
from mlflow_modelmap.numerics.points.embedding import pca, tsne
from mlflow_modelmap.numerics.points.neighbours import nearest
from mlflow_modelmap.numerics.preprocessing.clipping import clip_bottom
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import points_table, square_table, write_study
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.vectors import CONDITIONAL, of_vectors


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
    if clip is not None and not 0.0 <= clip < 1.0:
        raise InputError(f"The quantile to clip at is {clip}; give a number from 0 to below 1.")
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    matrix, members = selected.matrix(layers=layers)
    if len(members) < 2:
        raise InputError(
            f"Only one point was found, {shortened(members[0].name)!r}{selected.why()}, and a map "
            "needs at least two; score another model or select more runs."
        )
    if per_byte:
        matrix = replace(matrix, per_byte=True)
        told = uneven_lengths(matrix.length_variation)
        selected.notices[:] = [notice for notice in selected.notices if notice != told]
    made = _compute(matrix, members, vector, clip, perplexity, seed, selected.notices)
    return _log(
        made,
        selected,
        members,
        colour_by,
        params={
            "layers": layers,
            "preprocessing.clip_quantile": clip,
            "per_byte": per_byte,
            "perplexity": perplexity,
            "seed": seed,
            "colour_by": colour_by,
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
) -> ModelMap:
    used = matrix
    if clip:
        used, value, count = clip_bottom(matrix, clip)
        notices.append(
            f"{count:,} log-likelihoods below {value:.1f} nats, the quantile {clip:g}, were raised "
            "to it."
        )
    q = coordinates(used)
    kl, se = kl_with_standard_error(q, used.sampling)
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
        documents=matrix.units,
        vector=vector,
    )


def _log(
    made: ModelMap,
    selected: SelectedRuns,
    members: Sequence[Point],
    colour_by: ColourBy,
    *,
    params: dict[str, Any],
    name: str | None,
    output_experiment: str | None,
    run_id: str | None,
) -> ModelMap:
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
            "documents": made.documents or made.texts,
            **{f"explained_{k}": share for k, share in enumerate(made.explained, 1)},
        },
        params={**params, "perplexity_used": made.perplexity},
        tags={schema.TAG_NOTE: _note(made)},
        selection=selected.selection,
        notices=made.notices,
        members=members,
        weights=made.weights,
        name=name or "map",
        experiment=output_experiment,
        run_id=run_id,
        store=selected.store,
    )
    info = selected.store.get_run(logged).info
    return replace(
        made, run_id=logged, experiment_id=info.experiment_id, name=info.run_name or "map"
    )


def _note(made: ModelMap) -> str:
    """What the UI shows as the run's description."""
    return (
        f"Model map{of_vectors(made.vector)} of {len(made.points):,} points on {made.texts:,} "
        "texts. The map to explore is "
        "the artifact `modelmap/map.html`; `mlflow_modelmap.load_map` gives everything back."
    )
