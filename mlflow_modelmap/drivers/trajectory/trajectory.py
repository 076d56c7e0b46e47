"""Driver: KL, diffusion and anomalies along training, as one MLflow run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.trajectory.measures import (
    Found,
    Weights,
    check_moving,
    choose_warm_up,
    choose_window,
    diffusion_table,
    find_anomalies,
    select_checkpoints,
    weight_tables,
)
from mlflow_modelmap.drivers.trajectory.study import (
    TrajectoryStudy,
    log_study,
)
from mlflow_modelmap.drivers.trajectory.study import (
    load_trajectory as load_trajectory,
)
from mlflow_modelmap.drivers.trajectory.text_dependence import (
    by_domain,
    halves,
    read_texts_of,
    text_set_correlation,
    worst_texts,
)
from mlflow_modelmap.drivers.weights.distances import load_weight_distances
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.diffusion.tables import Q, hoelder_table, summary_table
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.irregular_texts import consecutive
from mlflow_modelmap.numerics.preprocessing.preprocess import (
    Preprocessed,
    preprocess,
    without_points,
)
from mlflow_modelmap.numerics.preprocessing.robustness import REMOVED, kl_after_removing
from mlflow_modelmap.numerics.trajectory.kl_along import kl_between, kl_from, kl_previous
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.select_runs import Point, read_matrix, select_runs
from mlflow_modelmap.tracking.runs.study_run import (
    points_table,
)
from mlflow_modelmap.tracking.store.client import check_reachable, experiment_id


def trajectory(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
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
    experiments, run_ids = tuple(experiments), tuple(run_ids)
    if splits < 1:
        raise InputError(f"{splits} splits of the texts are not possible; give 1 or more.")
    for value in (perplexity, *perplexities):
        if not 1 <= value < np.inf:
            raise InputError(f"A perplexity of {value} is not possible; give 1 or more.")
    store = check_reachable()
    if not experiments and not run_ids and not filter:
        experiments = (store.get_experiment(experiment_id(None, store)).name,)
    notices: list[str] = []
    runs = select_runs(experiments, filter, run_ids, notices=notices, store=store)
    matrix, points = read_matrix(runs)
    matrix, points, given = select_checkpoints(matrix, points, notices)
    text_set = read_texts_of(texts, points[0]) if texts is not None else None
    listed = load_weight_distances(weights_run).table if weights_run else None
    weights = weight_tables(listed, given, notices)
    warm = choose_warm_up(given, warm_up)
    if drop_texts and warm_up is None and not consecutive(given, warm)[0].size:
        notices.append(f"No two checkpoints follow each other after step {warm}; no text dropped.")
        drop_texts = None
    every = preprocess(matrix, given, clip=clip, drop_texts=drop_texts, warm_up=warm)
    found = find_anomalies(every.matrix, given, weights, warm)
    out = _left_out(matrix, given, found, leave_out, leave_out_anomalies, notices)
    done = (
        preprocess(matrix, given, leave_out=out, clip=clip, drop_texts=drop_texts, warm_up=warm)
        if out
        else every
    )
    kept = [p for p in points if p.name not in set(done.left_out)]
    study = _measure(done, kept, found, weights, window, start, notices)
    study = replace(
        study,
        worst_texts=worst_texts(done.text_table(), text_set),
        tables={
            **study.tables,
            **_text_tables(matrix, given, done, text_set, splits, seed, notices),
        },
    )
    study = _with_other_texts(study, done, kept, experiments, other_filter, notices, store)
    return log_study(
        replace(study, notices=tuple(notices)),
        done,
        weights,
        (perplexity, tuple(perplexities), seed) if figures else None,
        members=kept,
        flagged=_flagged_runs(found, given, matrix, points) if tag_runs else {},
        params={
            "experiments": list(experiments),
            "filter": filter or "",
            "run_ids": list(run_ids),
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
        store=store,
    )


def _left_out(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    found: Found,
    leave_out: Sequence[str],
    by_detection: bool,
    notices: list[str],
) -> list[str]:
    damaged = found.damaged(given, matrix.points)
    of = {t.name: [matrix.points[row] for row in t.rows] for t in given}
    asked = [point for name in leave_out for point in of.get(name, [name])]
    gone = list(dict.fromkeys([*asked, *(damaged if by_detection else ())]))
    remaining = [point for point in damaged if point not in set(gone)]
    if remaining:
        notices.append(
            f"{len(remaining)} checkpoints break continuity or belong to an outlying training "
            f"({', '.join(map(repr, remaining[:3]))}{', ...' if len(remaining) > 3 else ''}); they "
            "were kept: look at anomalies.csv, and leave them out by name or by detection."
        )
    # A training of which one good checkpoint would be left is left out as a whole.
    for names in of.values():
        left = [point for point in names if point not in set(gone)]
        if by_detection and len(left) == 1:
            gone += left
    return gone


def _measure(
    done: Preprocessed,
    points: Sequence[Point],
    found: Found,
    weights: Weights,
    window: int | None,
    start: int | None,
    notices: list[str],
) -> TrajectoryStudy:
    q, given, shares = coordinates(done.matrix), done.trajectories, done.matrix.shares
    previous = kl_previous(q, given, shares)
    check_moving(given, previous)
    width = choose_window(given, done.warm_up, window, notices)
    diffusion = diffusion_table(q, given, weights, width, done.warm_up, shares)
    t0 = _start(diffusion, given, start)
    kl, se = kl_with_standard_error(q, shares)
    names = list(done.matrix.points)
    judged = {t.name for t in given} & set(found.continuity["trajectory"])
    unjudged = [t.name for t in given if t.name not in judged]
    if unjudged:
        notices.append(
            f"{len(unjudged)} of {len(given)} trajectories have too few checkpoints after step "
            f"{done.warm_up} (fewer than 8) for their continuity to be judged."
        )
    tables = {} if t0 is None else {"kl_from_start": kl_from(q, given, t0, shares)}
    return TrajectoryStudy(
        run_id="",
        experiment_id="",
        name="",
        points=points_table(points),
        coordinates=q,
        kl=pd.DataFrame(kl, index=names, columns=names),
        kl_standard_error=pd.DataFrame(se, index=names, columns=names),
        kl_previous=previous,
        kl_between=kl_between(q, given, shares=shares),
        diffusion=diffusion,
        hoelder=hoelder_table(diffusion),
        summary=summary_table(diffusion, t0),
        anomalies=found.anomalies,
        continuity=found.continuity,
        siblings=found.siblings,
        texts=done.text_table(),
        worst_texts=pd.DataFrame(),
        tables=tables,
        settings={**done.record(), "warm_up": done.warm_up, "window": width, "start": t0},
        notices=tuple(notices),
    )


def _start(diffusion: pd.DataFrame, given: Sequence[Trajectory], start: int | None) -> int | None:
    """The t0 of the summary: as asked, else the last that all trajectories (or any) have."""
    in_q = diffusion[diffusion["space"] == Q]
    if start is not None:
        if not any(start in t.steps[:-1] for t in given):
            steps = sorted({int(s) for t in given for s in t.steps[:-1]})
            near = min(steps, key=lambda s: abs(s - start))
            raise InputError(
                f"No trajectory has a checkpoint at step {start} and one after it; the nearest "
                f"such step is {near}."
            )
        return start
    if in_q.empty:
        return None
    counts = in_q.groupby("t0")["trajectory"].nunique()
    return int(counts.index[counts == counts.max()].max())


def _text_tables(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    done: Preprocessed,
    text_set: TextSet | None,
    splits: int,
    seed: int,
    notices: list[str],
) -> dict[str, pd.DataFrame]:
    """What depends on the choice of texts: Figure 13, halves, domains."""
    tables = {}
    if done.scores is not None:
        clipped, kept = without_points(matrix, given, done.left_out)
        if done.clip_value is not None:
            clipped = replace(clipped, values=np.maximum(clipped.values, done.clip_value))
        # The paper's numbers, of its 10,000 texts.
        shares = {round(count * done.kept.size / 10_000) for count in REMOVED}
        late = int(10_000 / 143_000 * max(int(t.steps[-1]) for t in kept))
        tables["kl_after_removing"] = kl_after_removing(
            clipped,
            kept,
            done.scores.maximum,
            removed=sorted({0, int(done.dropped.size), *shares}),
            from_step=max(done.warm_up, late),
        )
    split = halves(done, splits, seed, notices)
    if split is not None:
        tables["halves"] = split
    if text_set is not None and text_set.domains is not None:
        tables["domains"] = by_domain(done, text_set)
    return tables


def _with_other_texts(
    study: TrajectoryStudy,
    done: Preprocessed,
    points: Sequence[Point],
    experiments: Sequence[str],
    other_filter: str | None,
    notices: list[str],
    store: MlflowClient,
) -> TrajectoryStudy:
    if not other_filter:
        return study
    runs = select_runs(experiments, other_filter, notices=notices, store=store)
    value, both = text_set_correlation(done, points, *read_matrix(runs))
    settings = {**study.settings, "other_text_set": runs[0].text_set}
    settings |= {"other_text_set.correlation": value, "other_text_set.checkpoints": both}
    return replace(study, settings=settings)


def _flagged_runs(
    found: Found,
    given: Sequence[Trajectory],
    matrix: LogLikelihoodMatrix,
    points: Sequence[Point],
) -> dict[str, str]:
    """Why each flagged run is, by run id; a monitored training says it of its steps."""
    why = found.flagged(given, matrix.points)
    said: dict[str, list[str]] = {}
    for p in points:
        if p.name in why:
            at = f"step {p.step}: " if p.monitored else ""
            said.setdefault(p.run_id, []).append(at + why[p.name])
    return {run_id: "; ".join(reasons) for run_id, reasons in said.items()}
