"""Driver: models across their layers, by the logit lens (Section 3.4, Appendix H)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.study.layers import layer_profiles, layer_trajectories
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.points.embedding import tsne
from mlflow_modelmap.numerics.scale.pair_groups import LAYER, pair_groups
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import load_study, points_table, write_study


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
    """

    run_id: str
    profiles: pd.DataFrame
    points: pd.DataFrame
    notices: tuple[str, ...] = field(default=())


def study_layers(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    perplexity: float = 30.0,
    seed: int = 0,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> LayerStudy:
    """Measure the selected runs that were scored with `layers=True`; log one run.

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs, as for a map; those without layers are left out and counted.
    perplexity, seed
        Of the t-SNE.
    name, output_experiment, run_id
        Where the run of kind ``layers`` goes.

    Raises
    ------
    InputError
        If no selected run holds layers.
    """
    selected = select(experiments, filter, run_ids)
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
    table["model"] = [names[point.run_id] for point in points]
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
    figures = {"profiles": layer_profiles(profiles)}
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
            )
    one = profiles["model"].nunique() == 1
    made = write_study(
        schema.KIND_LAYERS,
        tables={"layers": profiles, "points": table},
        figures=figures,
        metrics={"median_kl": float(np.median(kl)), "largest_kl": float(kl.max())},
        series=[
            ("layer_kl" if one else f"layer_kl/{row.model}", int(row.layer), row.kl)
            for row in profiles.itertuples()
        ],
        params={
            "perplexity": perplexity,
            "seed": seed,
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
    return LayerStudy(made, profiles, table, tuple(notices))


def load_layers(run_id: str) -> LayerStudy:
    """What `study_layers` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``layers``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_LAYERS, tables=("layers", "points"))
    return LayerStudy(run_id, read.tables["layers"], read.tables["points"], read.notices)
