"""Driver: KL, diffusion and anomalies along training, as one MLflow run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.drivers.study.texts_of_points import texts_if_at_hand
from mlflow_modelmap.drivers.trajectory.anomalies import (
    find_anomalies,
    flagged_runs,
    points_to_leave_out,
)
from mlflow_modelmap.drivers.trajectory.measures import measure
from mlflow_modelmap.drivers.trajectory.pictures import Drawn, pictures
from mlflow_modelmap.drivers.trajectory.record import log_study
from mlflow_modelmap.drivers.trajectory.selection import (
    choose_warm_up,
    select_checkpoints,
    weight_tables,
)
from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy
from mlflow_modelmap.drivers.trajectory.text_dependence import (
    one_split,
    text_tables,
    with_other_texts,
    worst_texts,
)
from mlflow_modelmap.drivers.weights.distances import load_weight_distances
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.preprocessing.irregular_texts import consecutive
from mlflow_modelmap.numerics.preprocessing.preprocess import preprocess
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.vectors import CONDITIONAL


def trajectory(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    vector: str = CONDITIONAL,
    weights_run: str | None = None,
    texts: str | os.PathLike[str] | TextSet | None = None,
    other_filter: str | None = None,
    leave_out: Sequence[str] = (),
    leave_out_anomalies: bool = False,
    clip: float | None = 0.02,
    drop_texts: float | None = 0.03,
    warm_up: int | None = None,
    window: int | None = None,
    start: int | None = None,
    perplexity: float = 30.0,
    perplexities: Sequence[float] = (20.0, 30.0, 40.0, 50.0),
    splits: int = 10,
    seed: int = 0,
    figures: bool = True,
    tag_runs: bool = True,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> TrajectoryStudy:
    """Measure trajectories and log one run of kind ``trajectory`` (Sections 3.1, 4, App. B to E).

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs, as for a map; with none of them, the current experiment. They say their
        trajectory and step.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``, see `select`.
    weights_run
        Run of `weight_distances` over the same trajectories, for the exponents of the weights.
    texts
        The text set (or where to read it), so that the worst texts can be read and KL is also
        given by domain.
    other_filter
        MLflow filter that selects the same checkpoints scored on another text set, to correlate
        their KL.
    leave_out
        Names of points, or of whole trajectories, to leave out.
    leave_out_anomalies
        Leave out damaged checkpoints, spikes and outlying trainings, as found.
    clip, drop_texts
        Preprocessing: quantile to clip at, share of texts to drop; None for none.
    warm_up
        First step after warm-up; by default the paper's share of training (2,000 of Pythia's
        143,000 steps), and not before checkpoints come at their usual spacing.
    window
        Of the diffusion exponents, in steps; by default ten times the usual spacing.
    start
        t0 of the summary; by default the last one that all trajectories have.
    perplexity, perplexities, seed
        Of t-SNE: for the maps, and for the autocorrelations.
    splits
        Random halves of the texts that are compared.
    figures
        Whether the pictures and the embeddings behind them are made; they take most of the time.
    tag_runs
        Whether flagged runs get the tag ``modelmap.anomaly``.
    name, output_experiment, run_id
        Where it is logged.

    Raises
    ------
    InputError
        If the selection holds no trajectory, mixes text sets, holds a step twice or a trajectory
        that does not move; if a window fits nowhere; or an option is out of range.
    TrackingError
        If the store does not answer, or an artifact is missing or damaged.
    """
    if splits < 1:
        raise InputError(f"{splits} splits of the texts are not possible; give 1 or more.")
    for value in (perplexity, *perplexities):
        if not 1 <= value < np.inf:
            raise InputError(f"A perplexity of {value} is not possible; give 1 or more.")
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    notices = selected.notices
    matrix, points, given = select_checkpoints(*selected.matrix(), notices)
    text_set = None if texts is None else texts_if_at_hand(texts, points[0], notices)
    distances = load_weight_distances(weights_run).table if weights_run else None
    in_weights = weight_tables(distances, given, notices)
    warm = choose_warm_up(given, warm_up)
    if drop_texts and warm_up is None and not consecutive(given, warm)[0].size:
        notices.append(f"No two checkpoints follow each other after step {warm}; no text dropped.")
        drop_texts = None
    every = preprocess(matrix, given, clip=clip, drop_texts=drop_texts, warm_up=warm)
    found = find_anomalies(every.matrix, given, in_weights, warm)
    out = points_to_leave_out(matrix, given, found, leave_out, leave_out_anomalies, notices)
    done = (
        preprocess(matrix, given, leave_out=out, clip=clip, drop_texts=drop_texts, warm_up=warm)
        if out
        else every
    )
    kept = [p for p in points if p.name not in set(done.left_out)]
    study = measure(done, kept, found, in_weights, window, start, notices)
    of_texts = text_tables(matrix, given, done, text_set, splits, seed, notices)
    study = replace(
        study,
        worst_texts=worst_texts(done.text_table(), text_set),
        tables={**study.tables, **of_texts},
    )
    study = with_other_texts(
        study, done, kept, selected.selection.experiments, other_filter, notices, vector
    )
    drawn = (
        pictures(
            study,
            done,
            in_weights,
            perplexity,
            tuple(perplexities),
            seed,
            one_split(matrix, given, done, seed) if "halves" in study.tables else None,
        )
        if figures
        else Drawn({}, {}, {}, ())
    )
    study = replace(
        study,
        points=study.points.assign(**drawn.columns),
        tables={**study.tables, **drawn.tables},
        notices=(*notices, *drawn.notices),
    )
    return log_study(
        study,
        done,
        drawn.figures,
        selected=selected,
        members=kept,
        flagged=flagged_runs(found, given, matrix, points) if tag_runs else {},
        params={
            "weights_run": weights_run or "",
            "other_filter": other_filter or "",
            "leave_out_anomalies": leave_out_anomalies,
            "perplexity": perplexity,
            "perplexities": list(perplexities),
            "splits": splits,
            "seed": seed,
        },
        name=name,
        output_experiment=output_experiment,
        run_id=run_id,
    )
