"""Driver: the pictures of a study of trajectories, and the embeddings they are drawn at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.trajectory.measures import Weights, ordered_names
from mlflow_modelmap.drivers.trajectory.text_dependence import one_split
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.heatmap import heatmap_figure
from mlflow_modelmap.figures.map.map import COORDINATES, map_figure
from mlflow_modelmap.figures.style import OTHERS
from mlflow_modelmap.figures.trajectory.anomalies import continuity_figure, siblings_figure
from mlflow_modelmap.figures.trajectory.diffusion import displacement_figure, exponents_figure
from mlflow_modelmap.figures.trajectory.embedding_3d import late_figure, map_3d_figure
from mlflow_modelmap.figures.trajectory.kl import (
    kl_between_figure,
    kl_late_figure,
    kl_previous_figure,
    line_colours,
)
from mlflow_modelmap.figures.trajectory.oscillation import autocorrelation_figure
from mlflow_modelmap.figures.trajectory.path import rows_by_name
from mlflow_modelmap.figures.trajectory.pca import pca_pairs_figure, pca_steps_figure
from mlflow_modelmap.figures.trajectory.texts import (
    domains_figure,
    halves_figure,
    kl_after_removing_figure,
    text_scores_figure,
)
from mlflow_modelmap.figures.trajectory.weight_map import weights_map_figure
from mlflow_modelmap.numerics.diffusion.tables import Q, W
from mlflow_modelmap.numerics.points.embedding import pca, tsne
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.trajectory.oscillation import (
    Autocorrelation,
    aligned,
    autocorrelation,
    classical_scaling,
    late_part,
)
from mlflow_modelmap.numerics.trajectory.trajectories import by_name, common_steps
from mlflow_modelmap.words.natural_order import natural

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy

COMPONENTS = 12
_LATE = 10 / 143
_LATE_WEIGHTS = 43 / 143
_FEWEST = 8


class Drawn(NamedTuple):
    """Figures by file name, columns for the points, further tables, notices."""

    figures: dict[str, Figure]
    columns: dict[str, np.ndarray]
    tables: dict[str, pd.DataFrame]
    notices: tuple[str, ...]


def pictures(
    study: TrajectoryStudy,
    done: Preprocessed,
    weights: Weights,
    perplexity: float,
    perplexities: tuple[float, ...],
    seed: int,
) -> Drawn:
    """All figures that the study has the data for."""
    names = ordered_names(done.trajectories)
    colours = line_colours(names)
    # What was left out is shown in grey beside what was kept.
    every = sorted({*names, *study.continuity["trajectory"]}, key=natural)
    palette = {name: colours.get(name, OTHERS) for name in every}
    shapes = _shapes(study, done, colours, perplexity, perplexities, seed)
    figures = {**_kl_figures(study, done, colours), **_text_figures(study, done, names, seed)}
    figures |= _diffusion_figures(study, weights, colours)
    for space, key in ((Q, "continuity_kl"), (W, "continuity_weights")):
        own = study.continuity[study.continuity["space"] == space]
        if len(own):
            flagged = study.anomalies[study.anomalies["space"] == space]
            figures[key] = continuity_figure(own, flagged, palette, space)
    if len(study.siblings):
        figures["siblings"] = siblings_figure(study.siblings)
    in_weights = _weights_map(weights, colours, perplexity, seed)
    if in_weights is not None:
        figures["weights_tsne"] = in_weights
    figures |= shapes.figures
    return Drawn(figures, shapes.columns, shapes.tables, shapes.notices)


def _kl_figures(
    study: TrajectoryStudy, done: Preprocessed, colours: dict[str, str]
) -> dict[str, Figure]:
    previous, names = study.kl_previous, list(colours)
    last = max(int(t.steps[-1]) for t in done.trajectories)
    figures = {
        "kl_previous": kl_previous_figure(previous, colours, done.warm_up),
        "kl_per_1000_steps": kl_previous_figure(previous, colours, done.warm_up, per_step=True),
    }
    late = max(done.warm_up, int(_LATE * last))
    if (previous["step_from"] >= late).any():
        figures["kl_previous_late"] = kl_late_figure(previous, colours, late)
    if (study.kl_between["kl"] > 0).any() and len(names) > 1:
        own = study.kl_between
        if ((own["trajectory"] == names[0]) | (own["other"] == names[0])).any():
            figures["kl_between"] = kl_between_figure(own, colours)
    steps = common_steps(done.trajectories)
    if len(names) > 1 and steps.size:
        of = by_name(done.trajectories)
        rows = [
            int(of[name].rows[np.flatnonzero(of[name].steps == steps[-1])[0]]) for name in names
        ]
        figures["kl_final"] = heatmap_figure(
            study.kl.to_numpy()[np.ix_(rows, rows)],
            names,
            title=f"KL at step {steps[-1]:,} (bits/byte)",
        )
    return figures


def _text_figures(
    study: TrajectoryStudy, done: Preprocessed, names: list[str], seed: int
) -> dict[str, Figure]:
    figures = {}
    if len(study.texts) and (study.texts["sd"] > 0).any():
        figures["text_scores"] = text_scores_figure(study.texts)
    removing = study.tables.get("kl_after_removing")
    if removing is not None and (removing["kl"] > 0).any():
        figures["kl_after_removing"] = kl_after_removing_figure(
            removing, names, int(done.dropped.size)
        )
    if "halves" in study.tables:
        figures["halves"] = halves_figure(*one_split(done, seed))
    domains = study.tables.get("domains")
    if domains is not None:
        late = domains[domains["step_from"] >= done.warm_up]
        if (late["kl"] > 0).any():
            figures["domains"] = domains_figure(late, names)
    return figures


def _diffusion_figures(
    study: TrajectoryStudy, weights: Weights, colours: dict[str, str]
) -> dict[str, Figure]:
    start, window = study.settings["start"], study.settings["window"]
    diffusion = study.diffusion
    if diffusion.empty or start is None or window is None:
        return {}
    from_start = study.tables["kl_from_start"]
    lag = from_start["step"] - from_start["step_from"]
    parts = [
        pd.DataFrame(
            {
                "trajectory": from_start["trajectory"],
                "space": Q,
                "lag": lag,
                "squared": from_start["kl"],
            }
        )
    ]
    for name, (steps, squared) in weights.items():
        at = np.flatnonzero(steps == start)
        if at.size:
            row = squared[at[0]]
            later = (steps > start) & np.isfinite(row)
            parts.append(
                pd.DataFrame(
                    {
                        "trajectory": name,
                        "space": W,
                        "lag": steps[later] - start,
                        "squared": row[later],
                    }
                )
            )
    distances = pd.concat(parts, ignore_index=True)
    distances = distances[distances["lag"] <= window]
    fits = diffusion[diffusion["t0"] == start]
    there = {
        name: colour for name, colour in colours.items() if (diffusion["trajectory"] == name).any()
    }
    figures = {"exponents": exponents_figure(diffusion, there, window)}
    if (distances["squared"] > 0).any():
        figures["displacement"] = displacement_figure(distances, fits, colours, start)
    return figures


def _shapes(
    study: TrajectoryStudy,
    done: Preprocessed,
    colours: dict[str, str],
    perplexity: float,
    perplexities: tuple[float, ...],
    seed: int,
) -> Drawn:
    """t-SNE in 2D and 3D, principal components, and the oscillation of the late part."""
    kl, points = study.kl.to_numpy(), study.points
    rows = rows_by_name(points, list(colours))
    steps = {
        name: points["step"].to_numpy(dtype=np.int64)[members] for name, members in rows.items()
    }
    count = min(COMPONENTS, len(points) - 1)
    components = pca(study.coordinates, count)
    columns = {f"pca_{k + 1}": components.coordinates[:, k] for k in range(count)}
    figures: dict[str, Figure] = {}
    notices: list[str] = []
    flat = tsne(study.coordinates, 2, perplexity, seed, kl=kl)
    deep: dict[float, np.ndarray] = {}
    for value in dict.fromkeys((perplexity, *perplexities)):
        found = tsne(study.coordinates, 3, value, seed, kl=kl)
        if found.perplexity is not None:
            deep.setdefault(found.perplexity, found.coordinates)
    if flat.notice:
        notices.append(flat.notice)
    columns |= dict(zip(COORDINATES["tsne", 2], flat.coordinates.T, strict=True))
    if flat.perplexity is not None:
        title = f"Trajectories, t-SNE with perplexity {flat.perplexity:.3g}"
        figures["map_2d"] = map_figure(
            points.assign(**columns), colour_by="trajectory", title=title, kl=kl
        )
    if deep:
        first = next(iter(deep.values()))
        columns |= dict(zip(COORDINATES["tsne", 3], first.T, strict=True))
        figures["map_3d"] = map_3d_figure(first, rows, colours, kl)
    figures["pca_pairs"] = pca_pairs_figure(
        components.coordinates, components.explained, rows, colours
    )
    figures["pca_steps"] = pca_steps_figure(components.coordinates, rows, steps, colours)
    late, correlations = _oscillation(done, deep)
    if late:
        figures["late_3d"] = late_figure(late, colours)
    tables = {}
    if correlations:
        figures["autocorrelation"] = autocorrelation_figure(correlations)
        tables["autocorrelation"] = _autocorrelation_table(correlations)
    return Drawn(figures, columns, tables, tuple(notices))


def _oscillation(
    done: Preprocessed, deep: dict[float, np.ndarray]
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, dict[float, Autocorrelation]]]:
    """Principal components of the late part of each 3D embedding, and PC3's autocorrelation."""
    late: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    correlations: dict[str, dict[float, Autocorrelation]] = {}
    of = by_name(done.trajectories)
    for name in ordered_names(done.trajectories):
        part = late_part(of[name])
        if len(part) < _FEWEST:
            continue
        for value, embedded in deep.items():
            components = pca(embedded[part.rows], 3).coordinates
            late.setdefault(name, (part.steps, components))
            try:
                found = autocorrelation(part.steps, components[:, 2])
            except InputError:
                continue
            correlations.setdefault(name, {})[value] = found
    return late, correlations


def _autocorrelation_table(found: dict[str, dict[float, Autocorrelation]]) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "trajectory": name,
                    "perplexity": perplexity,
                    "lag": own.lags,
                    "autocorrelation": own.values,
                    "period": pd.array([own.period] * len(own.lags), dtype="Int64"),
                }
            )
            for name, by in found.items()
            for perplexity, own in by.items()
        ],
        ignore_index=True,
    )


def _weights_map(
    weights: Weights, colours: dict[str, str], perplexity: float, seed: int
) -> Figure | None:
    """Figure 10, where all pairs of the late part are known."""
    paths, shown = {}, {}
    for name in colours:
        if name not in weights:
            continue
        steps, squared = weights[name]
        late = steps >= steps[-1] - _LATE_WEIGHTS * (steps[-1] - steps[0])
        late = late if late.sum() >= _FEWEST else np.ones(len(steps), dtype=bool)
        table = squared[np.ix_(late, late)]
        if late.sum() < _FEWEST or not np.isfinite(table).all():
            continue
        embedded = tsne(classical_scaling(table, 3), 2, perplexity, seed, kl=table)
        if embedded.perplexity is not None:
            paths[name], shown[name] = aligned(embedded.coordinates), steps[late]
    return weights_map_figure(paths, shown, colours) if paths else None
