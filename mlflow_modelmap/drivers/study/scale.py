"""Driver: the scale of KL divergence across settings, from the score runs at hand (Figure 3)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.study.copies import fold
from mlflow_modelmap.drivers.study.selection import SelectedRuns, adapter_bases, select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.study.scale import scale_figure
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.preprocessing.irregular_texts import consecutive
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed, preprocess
from mlflow_modelmap.numerics.scale.own_scale import beside_paper, far, scale
from mlflow_modelmap.numerics.scale.pair_groups import (
    ALONG_TRAINING,
    pair_groups,
    training_rows,
)
from mlflow_modelmap.numerics.trajectory.spacing import default_warm_up
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import load_study, points_table, write_study
from mlflow_modelmap.words.vectors import CONDITIONAL


@dataclass(frozen=True, eq=False)
class Scale:
    """KL divergence by setting, in bits/byte.

    Attributes
    ----------
    run_id
        The run that holds it.
    table
        Columns ``group``, ``median``, ``mean``, ``sd``, ``n``, ``largest_se`` and
        ``paper_median`` (missing where the paper has no such group), and ``far``: what is that far
        from what, in words.
    pairs
        Columns ``group``, ``point``, ``other``, ``kl``, ``se``.
    notices
        What was left out, a sentence each.
    """

    run_id: str
    table: pd.DataFrame
    pairs: pd.DataFrame
    notices: tuple[str, ...] = field(default=())


def build_scale(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    vector: str = CONDITIONAL,
    groups: Sequence[str] = (),
    most_random: int = 2_000,
    seed: int = 0,
    clip: float | None = None,
    drop_texts: float | None = None,
    warm_up: int | None = None,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> Scale:
    """Measure every setting of the paper's Table 2a that the selected runs hold; log one run.

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs, as for a map.
    texts
        Of these only the runs on one text set: its name, digest or file; see `selection.on_texts`.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``, see `select`; layers
        have the first only.
    groups
        Tags of the runs; the pairs of runs that share a value of one make a group of its name.
    most_random
        Most pairs drawn for the random groups.
    seed
        Of that draw.
    clip, drop_texts
        Preprocessing of the groups along training (Later, Early, Seed, Size), as `trajectory` does
        it: quantile to clip at, share of texts to drop; None for none. The paper's are 0.02 and
        0.03. All selected trajectories in full precision are preprocessed together; the other
        groups are measured on all texts, unclipped, as in the paper.
    warm_up
        First step whose checkpoints count for the texts to drop; by default as for `trajectory`.
    name, output_experiment, run_id
        Where the run of kind ``scale`` goes.

    Raises
    ------
    InputError
        If no setting has a pair, a tag is on no run, or a share is not between 0 and 1.
    """
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    matrix, points = fold(*_with_layers(selected), selected.notices)
    table = points_table(points, adapter_base=adapter_bases(points))
    for tag in groups:
        values = [point.tags.get(tag) for point in points]
        if not any(values):
            raise InputError(
                f"No selected run has the tag {tag!r}; set it on runs, or leave out that group."
            )
        table[tag] = values
    found = pair_groups(table, group_columns=groups, most_random=most_random, seed=seed)
    if not found:
        raise InputError(
            f"The {len(selected.runs)} selected runs hold no pair of any setting of the scale"
            f"{selected.why()}; score a second checkpoint, precision or model, or name a tag whose "
            "runs belong together."
        )
    plain = _Measured(coordinates(matrix), np.arange(len(points)), matrix.sampling)
    done = None
    if clip or drop_texts:
        along, done = _along_training(
            matrix, table, clip or None, drop_texts or None, warm_up, selected.notices
        )
    names = np.array(matrix.points, dtype=object)
    parts = []
    for group, pairs in found.items():
        of = along if done is not None and group in ALONG_TRAINING else plain
        kl, se = kl_pairs(of.q, of.row[pairs[:, 0]], of.row[pairs[:, 1]], of.sampling)
        parts.append(
            pd.DataFrame(
                {
                    "group": group,
                    "point": names[pairs[:, 0]],
                    "other": names[pairs[:, 1]],
                    "kl": kl,
                    "se": se,
                }
            )
        )
    measured = pd.concat(parts, ignore_index=True)
    by_group = {group: part["kl"].to_numpy() for group, part in measured.groupby("group")}
    by_group = {group: by_group[group] for group in found}
    summary = beside_paper(scale(by_group))
    largest = measured.groupby("group")["se"].max()
    summary.insert(5, "largest_se", summary["group"].map(largest))
    summary["far"] = [
        far(group, set(table["precision"].iloc[found[group][:, 1]].dropna()))
        for group in summary["group"]
    ]
    made = write_study(
        schema.KIND_SCALE,
        tables={"scale": summary, "pairs": measured, "points": table},
        figures={"scale": scale_figure(by_group, summary)},
        metrics={
            f"{statistic}/{row.group}": getattr(row, statistic)
            for row in summary.itertuples()
            for statistic in ("median", "n")
        },
        params={
            "groups": list(groups),
            "most_random": most_random,
            "seed": seed,
            **({} if done is None else done.record()),
        },
        members=points,
        weights=matrix.weights,
        selection=selected.selection,
        notices=selected.notices,
        name=name or "scale",
        experiment=output_experiment,
        run_id=run_id,
        store=selected.store,
    )
    return Scale(made, summary, measured, tuple(selected.notices))


class _Measured(NamedTuple):
    """Coordinates, which of their rows each point is (-1 for none), how texts were sampled."""

    q: np.ndarray
    row: np.ndarray
    sampling: Sampling


def _along_training(
    matrix: LogLikelihoodMatrix,
    table: pd.DataFrame,
    clip: float | None,
    drop_texts: float | None,
    warm_up: int | None,
    notices: list[str],
) -> tuple[_Measured, Preprocessed]:
    """The checkpoints of all trajectories, clipped and without their irregular texts."""
    found = training_rows(table)
    if not found:
        raise InputError(
            "No selected run stands on a trajectory, so there are no groups along training to "
            "clip or to drop texts from; leave out both options."
        )
    rows = np.unique(np.concatenate([own for _, own in found.values()]))
    given = [
        Trajectory(name, steps, np.searchsorted(rows, own)) for name, (steps, own) in found.items()
    ]
    long = [t for t in given if len(t) > 1]
    first = warm_up if warm_up is not None else default_warm_up(long) if long else 0
    if drop_texts and not consecutive(given, first)[0].size:
        notices.append(f"No two checkpoints follow each other after step {first}; no text dropped.")
        drop_texts = None
    done = preprocess(
        matrix.keep_points(rows), given, clip=clip, drop_texts=drop_texts, warm_up=first
    )
    row = np.full(len(table), -1)
    row[rows] = np.arange(rows.size)
    return _Measured(coordinates(done.matrix), row, done.matrix.sampling), done


def _with_layers(selected: SelectedRuns) -> tuple[LogLikelihoodMatrix, list[Point]]:
    """The models themselves, then every layer of those that were scored with the lens."""
    if all(run.layer is not None for run in selected.runs):
        return selected.matrix(layers=True)
    models, points = selected.matrix()
    if selected.selection.vector != CONDITIONAL:
        return models, points
    lens, lens_points = selected.matrix(layers=True)
    inner = [index for index, point in enumerate(lens_points) if point.layer is not None]
    layers = lens.keep_points(np.array(inner, dtype=np.intp))
    matrix = replace(
        models,
        values=np.concatenate([models.values, layers.values]),
        points=models.points + layers.points,
    )
    return matrix, points + [lens_points[index] for index in inner]


def load_scale(run_id: str) -> Scale:
    """What `build_scale` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``scale``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_SCALE, tables=("scale", "pairs"))
    return Scale(run_id, read.tables["scale"], read.tables["pairs"], read.notices)
