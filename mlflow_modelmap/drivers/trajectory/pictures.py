"""Driver: the pictures of a study of trajectories - all of them, as far as there is data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.drivers.trajectory.embeddings import place
from mlflow_modelmap.drivers.trajectory.oscillation import oscillation
from mlflow_modelmap.drivers.trajectory.selection import WeightTables, ordered_names
from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy
from mlflow_modelmap.drivers.trajectory.weight_map import weight_map
from mlflow_modelmap.figures.intervals import with_intervals
from mlflow_modelmap.figures.map.heatmap import heatmap_figure
from mlflow_modelmap.figures.style import OTHERS
from mlflow_modelmap.figures.trajectory.anomalies import continuity_figure, siblings_figure
from mlflow_modelmap.figures.trajectory.diffusion import displacement_figure, exponents_figure
from mlflow_modelmap.figures.trajectory.kl import (
    kl_between_figure,
    kl_previous_figure,
    line_colours,
)
from mlflow_modelmap.figures.trajectory.texts import (
    domains_figure,
    halves_figure,
    kl_after_removing_figure,
    text_scores_figure,
)
from mlflow_modelmap.numerics.diffusion.tables import Q, W
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.trajectory.trajectories import by_name, common_steps
from mlflow_modelmap.words.natural_order import natural


class Drawn(NamedTuple):
    """Figures by file name, columns for the points, further tables, notices."""

    figures: dict[str, Figure]
    columns: dict[str, np.ndarray]
    tables: dict[str, pd.DataFrame]
    notices: tuple[str, ...]


def pictures(
    study: TrajectoryStudy,
    done: Preprocessed,
    weight_tables: WeightTables,
    perplexity: float,
    perplexities: tuple[float, ...],
    seed: int,
    split: tuple[np.ndarray, np.ndarray, float] | None = None,
) -> Drawn:
    """All figures that the study has the data for.

    Parameters
    ----------
    weight_tables
        Distances in weight space, as far as there are.
    perplexity, perplexities, seed
        Of t-SNE: for the maps, and for the autocorrelations.
    split
        KL of all pairs on two halves of the texts, and its correlation, as far as there is one.
    """
    names = ordered_names(done.trajectories)
    colours = line_colours(names)
    placed = place(study, colours, perplexity, perplexities, seed)
    figures = {**_kl_figures(study, done, colours), **_text_figures(study, done, names, split)}
    figures |= _diffusion_figures(study, weight_tables, colours)
    figures |= _anomaly_figures(study, colours)
    in_weights = weight_map(weight_tables, colours, perplexity, seed)
    if in_weights is not None:
        figures["weights_tsne"] = in_weights
    late, correlations = oscillation(done, placed.deep, colours)
    tables = {} if correlations is None else {"autocorrelation": correlations}
    return Drawn({**figures, **placed.figures, **late}, placed.columns, tables, placed.notices)


def _anomaly_figures(study: TrajectoryStudy, colours: dict[str, str]) -> dict[str, Figure]:
    # What was left out is shown in grey beside what was kept.
    every = sorted({*colours, *study.continuity["trajectory"]}, key=natural)
    palette = {name: colours.get(name, OTHERS) for name in every}
    figures = {}
    for space, key in ((Q, "continuity_kl"), (W, "continuity_weights")):
        own = study.continuity[study.continuity["space"] == space]
        if len(own):
            flagged = study.anomalies[study.anomalies["space"] == space]
            figures[key] = continuity_figure(own, flagged, palette, space)
    if len(study.siblings):
        figures["siblings"] = siblings_figure(study.siblings)
    return figures


def _kl_figures(
    study: TrajectoryStudy, done: Preprocessed, colours: dict[str, str]
) -> dict[str, Figure]:
    units, names = done.matrix.units, list(colours)
    previous = with_intervals(study.kl_previous, units)
    figures = {
        "kl_previous": kl_previous_figure(previous, colours, done.warm_up),
        "kl_per_1000_steps": kl_previous_figure(previous, colours, done.warm_up, per_step=True),
    }
    if (study.kl_between["kl"] > 0).any() and len(names) > 1:
        own = with_intervals(study.kl_between, units)
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
            title=f"How far apart are the trainings? KL divergence at step {steps[-1]:,}",
        )
    return figures


def _text_figures(
    study: TrajectoryStudy,
    done: Preprocessed,
    names: list[str],
    split: tuple[np.ndarray, np.ndarray, float] | None,
) -> dict[str, Figure]:
    figures = {}
    if len(study.texts) and (study.texts["sd"] > 0).any():
        figures["text_scores"] = text_scores_figure(study.texts)
    removing = study.tables.get("kl_after_removing")
    if removing is not None and (removing["kl"] > 0).any():
        figures["kl_after_removing"] = kl_after_removing_figure(
            removing, names, int(done.dropped.size)
        )
    if split is not None:
        figures["halves"] = halves_figure(*split)
    domains = study.tables.get("domains")
    if domains is not None:
        late = domains[domains["step_from"] >= done.warm_up]
        if (late["kl"] > 0).any():
            figures["domains"] = domains_figure(late, names)
    return figures


def _diffusion_figures(
    study: TrajectoryStudy, weight_tables: WeightTables, colours: dict[str, str]
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
    for name, (steps, squared) in weight_tables.items():
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
