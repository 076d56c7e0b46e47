"""Driver: models beside their quantised copies - how far, and which way (Section 3.2)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.exact.exact import ExactOptions, exact_between, exact_columns
from mlflow_modelmap.drivers.study.selection import adapter_bases, select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.intervals import with_intervals
from mlflow_modelmap.figures.study.quantization import (
    alignment_figure,
    quantisation_bars,
    quantised_map,
)
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.points.directions import alignment
from mlflow_modelmap.numerics.points.embedding import tsne
from mlflow_modelmap.numerics.scale.pair_groups import quantised_copies
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import load_study, points_table, write_study
from mlflow_modelmap.words.vectors import CONDITIONAL

_TABLES = ("quantization", "cosines", "alignment")


@dataclass(frozen=True, eq=False)
class QuantizationStudy:
    """What quantisation did to each model.

    Attributes
    ----------
    run_id
        The run that holds it.
    pairs
        Columns ``model``, ``model_type``, ``precision`` (with the threshold of LLM.int8, as in
        ``int8 threshold 6``, where there is one), ``original``, ``copy`` (points), ``kl``,
        ``se`` (bits/byte); if asked for, ``exact_forward`` = KL(original || copy),
        ``exact_reverse``, ``exact_top1`` and their errors beside the estimate.
    cosines
        Columns ``precision``, ``model``, ``other``, ``model_type`` (missing across types),
        ``cosine`` of the two models' changes.
    alignment
        A row a precision and model type, as `numerics.points.directions.alignment` describes it.
    notices
        What was left out, a sentence each.
    exact_run
        The run of kind ``exact`` with the copies compared token by token, if that was asked for.
    """

    run_id: str
    pairs: pd.DataFrame
    cosines: pd.DataFrame
    alignment: pd.DataFrame
    notices: tuple[str, ...] = field(default=())
    exact_run: str | None = None


def study_quantization(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    vector: str = CONDITIONAL,
    perplexity: float = 30.0,
    trials: int = 100,
    seed: int = 0,
    exact: bool = False,
    options: ExactOptions | None = None,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
    progress: bool = False,
) -> QuantizationStudy:
    """Compare every model among the selected runs with its quantised copies; log one run.

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs, as for a map. A copy is a run of the same model and revision, or of a
        file stored quantised (GGUF, GPTQ, ...) that names that model as its base.
    texts
        Of these only the runs on one text set: its name, digest or file; see `selection.on_texts`.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``, see `select`.
    perplexity
        Of the t-SNE.
    trials
        Random groups of models of other types that the similarities within a model type are
        compared with.
    seed
        Of the t-SNE and those groups.
    exact, options
        Whether each copy is also compared with its original token by token, and how; the original's
        part is kept once for all of its copies. A copy for which that fails is named in a notice.
    name, output_experiment, run_id
        Where the run of kind ``quantization`` goes; that of kind ``exact`` goes beside it.
    progress
        Whether bars are shown.

    Raises
    ------
    InputError
        If no model was scored both in full precision and quantised.
    """
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    notices = selected.notices
    matrix, points = selected.matrix()
    table = points_table(points, adapter_base=adapter_bases(points))
    rows = quantised_copies(table)
    if not len(rows):
        raise InputError(
            f"None of the {len(selected.runs)} selected runs is a quantised copy of another"
            f"{selected.why()}; score the same model in float32, bfloat16 or float16 and in int8, "
            "nf4 or fp4, or its GGUF copies with --base-model (base_model=) naming it."
        )
    original, copy = rows.T
    used = np.unique(np.concatenate([original, copy]))
    q = coordinates(matrix.keep_points(used))
    original, copy = np.searchsorted(used, original), np.searchsorted(used, copy)
    shown = table.iloc[used].reset_index(drop=True)
    shown["precision"] = pd.array([_precision_of(points[index]) for index in used], dtype="string")
    kl, se = kl_pairs(q, original, copy, matrix.sampling)
    pairs = pd.DataFrame(
        {
            "model": _short(shown, original),
            "model_type": shown["model_type"].to_numpy()[original],
            "precision": shown["precision"].to_numpy()[copy],
            "original": shown["point"].to_numpy()[original],
            "copy": shown["point"].to_numpy()[copy],
            "kl": kl,
            "se": se,
        }
    )
    exact_run = None
    if exact:
        own = [(points[used[a]], points[used[b]]) for a, b in zip(original, copy, strict=True)]
        found_exactly = exact_between(
            own,
            selected.store,
            options,
            strict=False,
            name=f"{name or 'quantization'}, exact",
            experiment=output_experiment,
            progress=progress,
        )
        ids = [(one.run_id, other.run_id) for one, other in own]
        pairs = pd.concat([pairs, exact_columns(found_exactly, ids)], axis=1)
        exact_run = found_exactly.run_id
        notices += found_exactly.notices
    differences = q[copy] - q[original]
    cosines, aligned, figures = _directions(pairs, differences, trials, seed, notices)
    embedding = tsne(q, 2, perplexity, seed)
    if embedding.notice:
        notices.append(embedding.notice)
    shown["tsne_1"], shown["tsne_2"] = embedding.coordinates.T
    figures["map"] = quantised_map(
        shown, embedding.coordinates, pairs, by_tsne=embedding.perplexity is not None
    )
    figures["kl"] = quantisation_bars(with_intervals(pairs, matrix.units))
    by_precision = pairs.groupby("precision")["kl"]
    metrics = {f"median_kl/{precision}": v for precision, v in by_precision.median().items()}
    metrics |= matrix.counts
    metrics |= {
        f"cosine/{row.precision}/{row.model_type}": row.mean for row in aligned.itertuples()
    }
    if exact:
        ratios = (pairs["kl"] / pairs["exact_forward"]).groupby(pairs["precision"]).median()
        metrics |= {f"estimate_over_exact/{p}": v for p, v in ratios.items() if np.isfinite(v)}
    made = write_study(
        schema.KIND_QUANTIZATION,
        tables={"quantization": pairs, "cosines": cosines, "alignment": aligned, "points": shown},
        figures=figures,
        metrics=metrics,
        params={
            "perplexity": embedding.perplexity,
            "trials": trials,
            "seed": seed,
            **({} if exact_run is None else {"exact_run": exact_run}),
        },
        members=[points[index] for index in used],
        weights=matrix.weights,
        selection=selected.selection,
        notices=notices,
        name=name or "quantization",
        experiment=output_experiment,
        run_id=run_id,
        store=selected.store,
    )
    return QuantizationStudy(made, pairs, cosines, aligned, tuple(notices), exact_run)


def load_quantization(run_id: str) -> QuantizationStudy:
    """What `study_quantization` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``quantization``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_QUANTIZATION, tables=_TABLES)
    pairs, cosines, aligned = (read.tables[name] for name in _TABLES)
    exact_run = read.params.get("exact_run")
    return QuantizationStudy(run_id, pairs, cosines, aligned, read.notices, exact_run)


def _precision_of(point: Point) -> str | None:
    """Its precision, with the threshold of LLM.int8 where outliers were kept apart."""
    try:  # anybody can write a tag, and this becomes the name of a file
        threshold = float(point.tags.get(schema.TAG_INT8_THRESHOLD, "0"))
    except ValueError:
        threshold = 0.0
    return (
        f"{point.precision} threshold {threshold:g}" if 0 < threshold < np.inf else point.precision
    )


def _short(table: pd.DataFrame, rows: np.ndarray) -> list[str]:
    """Models as the table names them, with the revision where there is one."""
    named = table.iloc[rows]
    return [
        f"{model}@{revision}" if pd.notna(revision) and revision else str(model)
        for model, revision in zip(named["model"], named["revision"], strict=True)
    ]


def _directions(
    pairs: pd.DataFrame, differences: np.ndarray, trials: int, seed: int, notices: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Similarity of the changes, apart for each precision; figures by file name."""
    cosines, aligned, figures = [], [], {}
    for precision, rows in pairs.groupby("precision"):
        index = rows.index.to_numpy()
        moved = index[np.any(differences[index], axis=1)]
        if len(moved) < len(index):
            notices.append(
                f"{len(index) - len(moved)} {precision} copies do not differ from their originals "
                "and have no direction."
            )
        if len(moved) < 2:
            continue
        types = pairs["model_type"].fillna("others").to_numpy()[moved]
        found = alignment(differences[moved], list(types), trials=trials, seed=seed)
        first, second = np.triu_indices(len(moved), 1)
        models = pairs["model"].to_numpy()[moved]
        cosines.append(
            pd.DataFrame(
                {
                    "precision": precision,
                    "model": models[first],
                    "other": models[second],
                    "model_type": np.where(types[first] == types[second], types[first], None),
                    "cosine": found.cosines[first, second],
                }
            )
        )
        if len(found.by_type):
            aligned.append(found.by_type.assign(precision=precision))
            figures[f"cosines_{precision}"] = alignment_figure(found.by_type, found.trials)
    if not aligned:
        notices.append(
            "No model type has two models with a copy in the same precision, so there are no "
            "directions to compare."
        )
    empty_cosines = pd.DataFrame(columns=["precision", "model", "other", "model_type", "cosine"])
    empty_aligned = pd.DataFrame(columns=["precision", "model_type", "models", "mean"])
    return (
        pd.concat(cosines, ignore_index=True) if cosines else empty_cosines,
        pd.concat(aligned, ignore_index=True) if aligned else empty_aligned,
        figures,
    )
