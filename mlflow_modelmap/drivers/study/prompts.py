"""Driver: the same models under several prompts - how far each prompt moves them, and which way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.study.composites import composites
from mlflow_modelmap.drivers.study.prompted_models import (
    OWN,
    Prompt,
    PromptedModel,
    chosen_prompt,
    prompt_names,
    prompt_of,
    prompted_models,
)
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.intervals import with_intervals
from mlflow_modelmap.figures.study.prompts import (
    additivity_figure,
    cosines_figure,
    directions_figure,
    shifts_figure,
)
from mlflow_modelmap.numerics.divergence.kl import kl_pairs
from mlflow_modelmap.numerics.matrix.bits_per_byte import (
    bits_per_byte,
    bits_per_byte_difference,
    likelihoods_of,
)
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.numerics.points.shifts import cosine_with_error, unexplained
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.study_run import load_study, points_table, write_study
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.vectors import CONDITIONAL, UNCONDITIONAL

SAME_PROMPT = "same prompt"
SAME_MODEL = "same model"
NEITHER = "neither"
_TABLES = ("prompt_shifts", "prompt_cosines", "prompt_additivity")


@dataclass(frozen=True, eq=False)
class PromptsStudy:
    """What prompts did to each model.

    Attributes
    ----------
    run_id
        The run that holds it.
    shifts
        A row a model and prompt: ``model``, ``model_type``, ``prompt``, ``system_prompt``,
        ``template``, ``point``, ``reference`` (points), ``kl`` and ``se`` (bits/byte) of the shift
        from the reference prompt, ``bits_per_byte``, and ``bits_change`` with ``bits_change_se``:
        by how much the responses are predicted worse.
    cosines
        Of every two shifts, ``model`` and ``prompt`` with ``other_model`` and ``other_prompt``:
        what they share (``relation``), ``cosine`` and ``se``. Shifts of one model may share what
        leaving its reference prompt does.
    additivity
        A row a model and composite prompt: ``model``, ``prompt``, ``parts`` (JSON), ``kl`` and
        ``kl_predicted``, measured and of the sum of its parts' shifts; ``unexplained`` (share of
        the measured KL that the sum leaves, 0 at best) and ``unexplained_by_one`` (that its best
        single part leaves), ``cosine`` of the sum with what was measured; each with ``_se``.
    notices
        What its user is told, a sentence each.
    """

    run_id: str
    shifts: pd.DataFrame
    cosines: pd.DataFrame
    additivity: pd.DataFrame
    notices: tuple[str, ...] = field(default=())


def study_prompts(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    vector: str = CONDITIONAL,
    reference: str | None = None,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
) -> PromptsStudy:
    """Compare every model among the selected runs with itself under other prompts; log one run.

    A shift is the change of a model's coordinates from the reference prompt to another: its squared
    length is the KL divergence between the two, its direction says on which responses.

    Parameters
    ----------
    experiments, filter, run_ids
        Which score runs, as for a map: of models that were scored with several system prompts or
        templates (``system_prompt=``, ``template=``).
    texts
        Of these only the runs on one text set: its name, digest or file; see `selection.on_texts`.
    vector
        Which of their vectors: ``conditional``, ``unconditional`` or ``pmi``, see `select`.
    reference
        The prompt that shifts are from: a system's message, or a name in ``shifts``; by default
        what models make of the prompts by themselves.
    name, output_experiment, run_id
        Where the run of kind ``prompts`` goes.

    Raises
    ------
    InputError
        If no model was scored under the reference and another prompt.
    """
    if vector == UNCONDITIONAL:
        raise InputError(
            "Responses without their prompts are the same under every prompt, so that nothing "
            "shifts; take the conditional or pmi vectors."
        )
    selected = select(experiments, filter, run_ids, texts=texts, vector=vector)
    selected.check_destination(output_experiment, run_id)
    notices = selected.notices
    matrix, points = selected.matrix()
    if all(prompt_of(point) == prompt_of(points[0]) for point in points):
        raise InputError(
            f"The {len(points)} selected scores are all under one prompt{selected.why()}; score a "
            "model with --system-prompt or --template too, under a --name of its own."
        )
    models = prompted_models(points, notices)
    names = prompt_names(list(dict.fromkeys(prompt_of(point) for point in points)))
    base = chosen_prompt(reference, names)
    kept = _with_reference(models, base, names.get(base, OWN), notices, selected.why())
    q = coordinates(matrix)
    shifts, vectors, places = _shifts(kept, base, names, matrix, points, q)
    cosines = _cosines(shifts, vectors, matrix.sampling)
    added, sums = _additivity(kept, base, names, vectors, places, shifts, matrix.sampling)
    used = sorted({index for model in kept for index in model.points.values()})
    if not len(added):
        notices.append(
            "No prompt is others put together, so that nothing is said of whether shifts add up; "
            "score a system prompt that is two others one behind the other."
        )
    figures = {"prompt_shifts": shifts_figure(with_intervals(shifts, matrix.units))}
    if len(shifts) > 1:
        figures["prompt_directions"] = directions_figure(shifts, vectors, added, sums)
        figures["prompt_cosines"] = cosines_figure(shifts, cosines)
    if len(added):
        figures["prompt_additivity"] = additivity_figure(with_intervals(added, matrix.units))
    made = write_study(
        schema.KIND_PROMPTS,
        tables={
            "prompt_shifts": shifts,
            "prompt_cosines": cosines,
            "prompt_additivity": added,
            "points": points_table([points[index] for index in used]),
        },
        arrays={"shifts": vectors},
        figures=figures,
        metrics={**_metrics(shifts, cosines, added), **matrix.counts},
        params={"reference": names.get(base, OWN), "prompts": shifts["prompt"].nunique()},
        members=[points[index] for index in used],
        weights=matrix.weights,
        selection=selected.selection,
        notices=notices,
        name=name or "prompts",
        experiment=output_experiment,
        run_id=run_id,
        store=selected.store,
    )
    return PromptsStudy(made, shifts, cosines, added, tuple(notices))


def load_prompts(run_id: str) -> PromptsStudy:
    """What `study_prompts` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``prompts``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_PROMPTS, tables=_TABLES)
    shifts, cosines, added = (read.tables[name] for name in _TABLES)
    return PromptsStudy(run_id, shifts, cosines, added, read.notices)


def _with_reference(
    models: Sequence[PromptedModel], base: Prompt, called: str, notices: list[str], why: str
) -> list[PromptedModel]:
    """The models that were scored under the reference prompt and another."""
    alone = [m.name for m in models if base in m.points and len(m.points) == 1]
    without = [m.name for m in models if base not in m.points]
    kept = [m for m in models if base in m.points and len(m.points) > 1]
    if not kept:
        raise InputError(
            f"No model was scored under the reference prompt ({called}) and another one{why}; "
            "score it under both, or name another reference (--reference)."
        )
    for names, what in (
        (alone, "were scored under one prompt only"),
        (without, f"were not scored under the reference prompt ({called})"),
    ):
        if names:
            notices.append(f"Models that {what} were left out: {listed(names, 5)}.")
    return kept


def _shifts(
    models: Sequence[PromptedModel],
    base: Prompt,
    names: dict[Prompt, str],
    matrix: LogLikelihoodMatrix,
    points: Sequence[Point],
    q: np.ndarray,
) -> tuple[pd.DataFrame, np.ndarray, dict[tuple[str, Prompt], int]]:
    """The table, the vectors (rows, texts), and the row of a model's prompt."""
    ordered = [(model, prompt) for prompt in names for model in models if prompt in model.points]
    ordered = [(model, prompt) for model, prompt in ordered if prompt != base]
    rows = np.array([model.points[prompt] for model, prompt in ordered])
    from_rows = np.array([model.points[base] for model, _ in ordered])
    kl, se = kl_pairs(q, rows, from_rows, matrix.sampling)
    bits, likelihoods = bits_per_byte(matrix), likelihoods_of(matrix)
    changes = [
        bits_per_byte_difference(
            likelihoods[row],
            likelihoods[start],
            matrix.text_bytes,
            matrix.weights,
            matrix.documents,
        )
        for row, start in zip(rows, from_rows, strict=True)
    ]
    table = pd.DataFrame(
        {
            "model": [model.name for model, _ in ordered],
            "model_type": pd.array([points[row].model_type for row in rows], dtype="string"),
            "prompt": [names[prompt] for _, prompt in ordered],
            "system_prompt": [system for _, (system, _) in ordered],
            "template": [template for _, (_, template) in ordered],
            "point": [points[row].name for row in rows],
            "reference": [points[row].name for row in from_rows],
            "kl": kl,
            "se": se,
            "bits_per_byte": bits[rows],
            "bits_change": [change for change, _ in changes],
            "bits_change_se": [error for _, error in changes],
        }
    )
    places = {(model.name, prompt): k for k, (model, prompt) in enumerate(ordered)}
    return table, q[rows] - q[from_rows], places


def _cosines(shifts: pd.DataFrame, vectors: np.ndarray, sampling: Sampling) -> pd.DataFrame:
    first, second = np.triu_indices(len(shifts), 1)
    found = [
        cosine_with_error(vectors[i], vectors[i + 1 :], sampling) for i in range(len(shifts) - 1)
    ]
    model, prompt = shifts["model"].to_numpy(), shifts["prompt"].to_numpy()
    same_prompt, same_model = prompt[first] == prompt[second], model[first] == model[second]
    return pd.DataFrame(
        {
            "model": model[first],
            "prompt": prompt[first],
            "other_model": model[second],
            "other_prompt": prompt[second],
            "relation": np.where(
                same_prompt, SAME_PROMPT, np.where(same_model, SAME_MODEL, NEITHER)
            ),
            "cosine": np.concatenate([cosine for cosine, _ in found] or [np.empty(0)]),
            "se": np.concatenate([error for _, error in found] or [np.empty(0)]),
        }
    )


def _additivity(
    models: Sequence[PromptedModel],
    base: Prompt,
    names: dict[Prompt, str],
    vectors: np.ndarray,
    places: dict[tuple[str, Prompt], int],
    shifts: pd.DataFrame,
    sampling: Sampling,
) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of composite prompts, and the sum of their parts' shifts, shape (rows, texts)."""
    rows, sums = [], [np.empty((0, vectors.shape[1]))]
    for prompt, parts in composites(list(names), base).items():
        for model in models:
            asked = [(model.name, one) for one in (prompt, *parts)]
            if not all(one in places for one in asked):
                continue
            where, *of_parts = (places[one] for one in asked)
            measured, predicted = vectors[where], vectors[of_parts].sum(axis=0)
            sums.append(predicted[None])
            (predicted_kl,), (predicted_se,) = kl_pairs(
                np.stack([predicted, np.zeros_like(predicted)]), [0], [1], sampling
            )
            left, left_se = unexplained(measured, predicted, sampling)
            by_one, by_one_se = unexplained(measured, vectors[of_parts], sampling)
            best = int(np.argmin(by_one))
            cosine, cosine_se = cosine_with_error(measured, predicted, sampling)
            rows.append(
                {
                    "model": model.name,
                    "prompt": names[prompt],
                    "parts": json.dumps([names[part] for part in parts], ensure_ascii=False),
                    "kl": shifts["kl"].iloc[where],
                    "se": shifts["se"].iloc[where],
                    "kl_predicted": predicted_kl,
                    "kl_predicted_se": predicted_se,
                    "unexplained": float(left),
                    "unexplained_se": float(left_se),
                    "unexplained_by_one": float(by_one[best]),
                    "unexplained_by_one_se": float(by_one_se[best]),
                    "cosine": float(cosine),
                    "cosine_se": float(cosine_se),
                }
            )
    columns = ["model", "prompt", "parts"]
    for one in ("kl", "kl_predicted", "unexplained", "unexplained_by_one", "cosine"):
        columns += [one, "se" if one == "kl" else f"{one}_se"]
    return pd.DataFrame(rows, columns=columns), np.concatenate(sums)


def mean_cosines(cosines: pd.DataFrame) -> pd.DataFrame:
    """Mean cosine and number of pairs by what the two shifts share: ``mean``, ``pairs``."""
    by_relation = cosines.dropna(subset="cosine").groupby("relation")["cosine"]
    found = by_relation.agg(["mean", "size"]).rename(columns={"size": "pairs"})
    return found.reindex([one for one in (SAME_PROMPT, SAME_MODEL, NEITHER) if one in found.index])


def _metrics(shifts: pd.DataFrame, cosines: pd.DataFrame, added: pd.DataFrame) -> dict[str, float]:
    metrics = {"shifts": float(len(shifts)), "median_kl": float(shifts["kl"].median())}
    for relation, row in mean_cosines(cosines).iterrows():
        metrics[f"mean_cosine/{str(relation).replace(' ', '_')}"] = float(row["mean"])
    for column in ("unexplained", "unexplained_by_one", "cosine"):
        values = added[column].astype(float).dropna()
        if len(values):
            metrics[f"median_{column}_of_sums"] = float(values.median())
    return metrics
