"""Driver: models across their layers, by the logit lens (Section 3.4, Appendix H)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.exact.exact import ExactOptions
from mlflow_modelmap.drivers.exact.layers import exact_layers
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.intervals import with_intervals
from mlflow_modelmap.figures.study.layers import exact_profiles, layer_profiles, layer_trajectories
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.points.embedding import tsne
from mlflow_modelmap.numerics.scale.pair_groups import LAYER, pair_groups
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study, points_table, write_study

_EXACT = "layers_exact"


@dataclass(frozen=True, eq=False)
class LayerStudy:
    """KL divergence between adjacent layers.

    Attributes
    ----------
    run_id
        The run that holds it.
    profiles
        Columns ``model`` (the run's name), ``model_type``, ``layer_from``, ``layer``, ``kl``,
        ``se`` (bits/byte).
    points
        A row a layer, with its mean log-likelihood (nats) and its t-SNE coordinates.
    notices
        What was left out, a sentence each.
    exact
        If asked for, every layer below the last against the last one, token by token, as
        `drivers.exact.layers.exact_layers` describes it; else None.
    """

    run_id: str
    profiles: pd.DataFrame
    points: pd.DataFrame
    notices: tuple[str, ...] = field(default=())
    exact: pd.DataFrame | None = None


def study_layers(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    perplexity: float = 30.0,
    seed: int = 0,
    exact: bool = False,
    options: ExactOptions | None = None,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
    progress: bool = False,
) -> LayerStudy:
    """Measure the selected runs that were scored with `layers=True`; log one run.

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs, as for a map; those without layers are left out and counted.
    texts
        Of these only the runs on one text set: its name, digest or file; see `selection.on_texts`.
    perplexity, seed
        Of the t-SNE.
    exact, options
        Whether each model is run once more, to compare what each of its layers says with what the
        model says, token by token over the whole vocabulary, and how. A model for which that fails
        is named in a notice.
    name, output_experiment, run_id
        Where the run of kind ``layers`` goes.
    progress
        Whether bars are shown.

    Raises
    ------
    InputError
        If no selected run holds layers, or none of the models can be run again for `exact`.
    """
    selected = select(experiments, filter, run_ids, texts=texts)
    selected.check_destination(output_experiment, run_id)
    runs, notices = selected.runs, selected.notices
    matrix, points = selected.matrix(layers=True)
    inner = np.array([i for i, point in enumerate(points) if point.layer is not None], dtype=int)
    if not len(inner):
        raise InputError(
            f"None of the {len(runs)} selected runs was scored at its layers{selected.why()}; "
            "score with `--layers` (or layers=True)."
        )
    if len(inner) < len(points):
        notices.append(f"{len(points) - len(inner)} runs without layers were left out.")
    matrix = matrix.keep_points(inner)
    points = [points[i] for i in inner]
    table = points_table(points)
    names = {one.run_id: run.name for run in runs for one in (run, *run.earlier)}
    table["model"] = [p.model if p.imported else names[p.run_id] for p in points]
    table["mean_log_likelihood"] = np.average(matrix.values, axis=1, weights=matrix.weights)
    q = coordinates(matrix)
    first, second = pair_groups(table)[LAYER].T
    kl, se = kl_pairs(q, first, second, matrix.sampling)
    profiles = pd.DataFrame(
        {
            "model": table["model"].to_numpy()[second],
            "model_type": table["model_type"].to_numpy()[second],
            "layer_from": table["layer"].to_numpy()[first],
            "layer": table["layer"].to_numpy()[second],
            "kl": kl,
            "se": se,
        }
    )
    tables = {"layers": profiles, "points": table}
    figures = {"profiles": layer_profiles(with_intervals(profiles, matrix.units))}
    against_last = None
    if exact:
        inner_runs = {point.run_id for point in points if not point.imported}
        against_last = exact_layers(
            [run for run in runs if run.run_id in inner_runs],
            names,
            selected.store,
            options,
            notices=notices,
            progress=progress,
        )
        tables[_EXACT] = against_last
        figures["profiles_exact"] = exact_profiles(against_last)
    for dimensions in (2, 3):
        embedding = tsne(q, dimensions, perplexity, seed)
        if embedding.notice and embedding.notice not in notices:
            notices.append(embedding.notice)
        for axis in range(dimensions):
            table[f"tsne{dimensions}_{axis + 1}"] = embedding.coordinates[:, axis]
        for by in ("depth", "mean_log_likelihood"):
            figures[f"layers_{dimensions}d_by_{by}"] = layer_trajectories(
                table,
                embedding.coordinates,
                by,  # type: ignore[arg-type]
                by_tsne=embedding.perplexity is not None,
            )
    one = profiles["model"].nunique() == 1
    made = write_study(
        schema.KIND_LAYERS,
        tables=tables,
        figures=figures,
        metrics={
            "median_kl": float(np.median(kl)),
            "largest_kl": float(kl.max()),
            **matrix.counts,
        },
        series=[
            *(
                ("layer_kl" if one else f"layer_kl/{row.model}", int(row.layer), row.kl)
                for row in profiles.itertuples()
            ),
            *_exact_series(against_last, one),
        ],
        params={
            "perplexity": perplexity,
            "seed": seed,
            **({} if against_last is None else {"exact": True}),
        },
        members=points,
        weights=matrix.weights,
        selection=selected.selection,
        notices=notices,
        name=name or "layers",
        experiment=output_experiment,
        run_id=run_id,
        store=selected.store,
    )
    return LayerStudy(made, profiles, table, tuple(notices), against_last)


def _exact_series(exact: pd.DataFrame | None, one: bool) -> list[tuple[str, int, float]]:
    """The exact columns as metrics whose step is the layer; numbers that are none are left out."""
    if exact is None:
        return []
    found = []
    for name in (
        "forward",
        "forward_se",
        "reverse",
        "reverse_se",
        "js",
        "js_se",
        "top1",
        "top1_se",
    ):
        for model, layer, value in zip(exact["model"], exact["layer"], exact[name], strict=True):
            metric = f"layer_exact_{name}"
            if np.isfinite(value):
                found.append((metric if one else f"{metric}/{model}", int(layer), float(value)))
    return found


def load_layers(run_id: str) -> LayerStudy:
    """What `study_layers` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``layers``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_LAYERS, tables=("layers", "points"), optional=(_EXACT,))
    tables = read.tables
    return LayerStudy(run_id, tables["layers"], tables["points"], read.notices, tables.get(_EXACT))
