"""Driver: benchmark scores predicted from the map - how well, of which models, by which texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.study.scores_of_points import (
    Scores,
    families,
    scores_in_table,
    scores_on_runs,
)
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.drivers.study.texts_of_points import texts_if_at_hand
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.study.prediction import prediction_figure
from mlflow_modelmap.numerics.matrix.bits_per_byte import bits_per_byte
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.prediction.predicted import MAP, Predicted, predicted_scores
from mlflow_modelmap.numerics.prediction.text_weights import text_weights
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import load_study, points_table, write_study
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.vectors import CONDITIONAL

LISTED = 100
EXCERPT = 160
_TABLES = ("predictions", "prediction_skill", "prediction_texts")
LEAK = (
    "Groups are single points, so that near copies of a model (other precisions, checkpoints, "
    "fine-tunes) stand in training and test at once; r then says nothing of models of new families."
)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Scores predicted from places on the map.

    Attributes
    ----------
    run_id
        The run that holds it.
    predictions
        A row a benchmark and point: ``benchmark``, ``point``, ``run_id``, ``group``, ``score``
        (missing where there is none), ``predicted``, ``low``, ``high`` (95 %, of points without a
        score), ``out_of_fold`` (whether it was predicted by fits that know no score of its group)
        and ``training_mean``, the mean score of what they know.
    skill
        A row a benchmark and predictor (``map``, ``bits per byte``, ``mean``): see
        `numerics.prediction.predicted.Predicted`; ``points`` and ``groups`` with a score.
    texts
        The 100 texts with the largest weights of each benchmark: ``benchmark``, ``text``,
        ``weight``, ``effect``, ``share``; ``excerpt`` and ``domain`` where the texts were given.
    notices
        What its user is told, a sentence each.
    """

    run_id: str
    predictions: pd.DataFrame
    skill: pd.DataFrame
    texts: pd.DataFrame
    notices: tuple[str, ...] = field(default=())


def predict(
    scores: Scores | None = None,
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    vector: str = CONDITIONAL,
    columns: Sequence[str] = (),
    metrics: Sequence[str] = (),
    groups: str = "model_type",
    texts: str | os.PathLike[str] | TextSet | None = None,
    folds: int = 10,
    repeats: int = 5,
    seed: int = 0,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> Prediction:
    """Predict benchmark scores by ridge regression on the map's coordinates; log one run.

    Parameters
    ----------
    scores
        A CSV file or frame with a column ``point`` (names of runs or models, or run ids) and
        columns of numbers, or a mapping of names to numbers. Points without one are predicted.
    experiments, filter, run_ids
        Which score runs, as for a map.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``, see `select`.
    columns
        Of `scores`; all by default.
    metrics
        Names of metrics on the score runs that are scores too.
    groups
        What is never in training and test at once: ``model_type``, another tag, or ``none``.
    texts
        The texts that were scored, to read those that carry the prediction.
    folds, repeats, seed
        Of the cross-validation: parts, how often they are divided anew, and of the divisions.
    name, output_experiment, run_id
        Where the run of kind ``predict`` goes.

    Raises
    ------
    InputError
        If scores cannot be read or matched, or none has enough points and groups.
    """
    if scores is None and not metrics:
        raise InputError(
            "There are no scores; give a CSV file (--scores), or the name of a metric of the runs "
            "(--metric)."
        )
    if scores is None and columns:
        raise InputError(f"The column {columns[0]!r} is of no file; give the file of scores too.")
    if folds < 2 or repeats < 1:
        raise InputError(
            f"{folds} folds in {repeats} repeats measure nothing; give 2 and 1 or more."
        )
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    matrix, points = selected.matrix()
    notices = selected.notices
    given = {} if scores is None else scores_in_table(scores, points, columns, notices)
    on_runs = scores_on_runs(points, metrics, selected.store, notices) if metrics else {}
    both = next((one for one in on_runs if one in given), None)
    if both is not None:
        raise InputError(f"{both!r} is a column and a metric; rename the column.")
    text_set = None if texts is None else texts_if_at_hand(texts, points[0], notices)
    group = families(points, groups)
    if groups == "none":
        notices.append(LEAK)
    q = coordinates(matrix)
    products, bits = q @ q.T, bits_per_byte(matrix)
    tables, skills, carriers, figures = [], [], [], {}
    refused: list[InputError] = []
    metrics_of: dict[str, float] = {}
    benchmarks = {**given, **on_runs}
    for number, (benchmark, values) in enumerate(benchmarks.items()):
        try:
            found = predicted_scores(
                products,
                values,
                group,
                bits,
                name=benchmark,
                folds=folds,
                repeats=repeats,
                seed=seed,
            )
        except InputError as error:
            refused.append(error)
            notices.append(f"{benchmark!r} was left out: {reason(error)}.")
            continue
        if found.notice:
            notices.append(found.notice)
        table = _predictions(benchmark, points, group, values, found)
        known = np.isfinite(values)
        skill = found.skill.assign(points=int(known.sum()), groups=len(set(group[known])))
        skill.insert(0, "benchmark", benchmark)
        carried = text_weights(q[known], found.dual[known]).head(LISTED).reset_index(drop=True)
        carried.insert(0, "benchmark", benchmark)
        tables.append(table)
        skills.append(skill)
        carriers.append(_readable(carried, text_set))
        file = "prediction" if len(benchmarks) == 1 else f"prediction_{number + 1}"
        figures[file] = prediction_figure(table, skill)
        behind = "" if len(benchmarks) == 1 else f"/{benchmark}"
        metrics_of |= {f"{key}{behind}": v for key, v in _metrics(skill).items()}
    if not tables:
        raise refused[0]
    predictions, skill, carried = (
        pd.concat(parts, ignore_index=True) for parts in (tables, skills, carriers)
    )
    made = write_study(
        schema.KIND_PREDICT,
        tables={
            "predictions": predictions,
            "prediction_skill": skill,
            "prediction_texts": carried,
            "points": points_table(points),
        },
        figures=figures,
        metrics=metrics_of,
        params={
            "groups": groups,
            "folds": folds,
            "repeats": repeats,
            "seed": seed,
            "benchmarks": listed(list(benchmarks), 20),
        },
        members=points,
        weights=matrix.weights,
        selection=selected.selection,
        notices=notices,
        name=name or "predict",
        experiment=output_experiment,
        run_id=run_id,
        store=selected.store,
    )
    return Prediction(made, predictions, skill, carried, tuple(notices))


def _predictions(
    benchmark: str, points: Sequence[Point], group: np.ndarray, scores: np.ndarray, found: Predicted
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "point": [point.name for point in points],
            "run_id": [point.run_id for point in points],
            "group": group,
            "score": scores,
            "predicted": found.predicted,
            "low": found.low,
            "high": found.high,
            "out_of_fold": np.isfinite(scores),
            "training_mean": found.mean,
        }
    )


def _metrics(skill: pd.DataFrame) -> dict[str, float]:
    rows = skill.set_index("predictor")
    own = rows.loc[MAP]
    metrics = {key: own[key] for key in ("r", "r_low", "r_high", "rmse", "rmse_low", "rmse_high")}
    metrics |= {f"rmse_{p.replace(' ', '_')}": rows.loc[p, "rmse"] for p in rows.index if p != MAP}
    metrics["r_bits_per_byte"] = rows.loc["bits per byte", "r"]
    return {key: float(v) for key, v in (metrics | {"scored_points": own["points"]}).items()}


def _readable(carried: pd.DataFrame, text_set: TextSet | None) -> pd.DataFrame:
    """The texts with their first characters and domains, where they are at hand."""
    if text_set is None:
        return carried
    numbers = [int(number) for number in carried["text"]]
    shown = [
        " ".join(text_set.texts[number][: 4 * EXCERPT].split())[:EXCERPT] for number in numbers
    ]
    carried = carried.assign(excerpt=shown)
    if text_set.domains is not None:
        carried["domain"] = [text_set.domains[number] for number in numbers]
    return carried


def load_prediction(run_id: str) -> Prediction:
    """What `predict` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``predict``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_PREDICT, tables=_TABLES)
    predictions, skill, texts = (read.tables[name] for name in _TABLES)
    return Prediction(run_id, predictions, skill, texts, read.notices)
