"""Driver: which score a name stands for - a run's, a checkpoint's, a point's or a model's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from difflib import get_close_matches

from mlflow import MlflowClient

from mlflow_modelmap.errors import InputError, ModelMapError
from mlflow_modelmap.scoring.model.reference import is_here, tag_name
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.long_values import run_name
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.unique_names import unique_names
from mlflow_modelmap.tracking.store.client import client
from mlflow_modelmap.tracking.store.experiments import (
    experiment_id,
    experiment_name,
    find_experiments,
)
from mlflow_modelmap.tracking.store.in_filter import in_filter
from mlflow_modelmap.words.listed import listed

_RUN_ID = re.compile(r"(?P<run>[0-9a-f]{32})(@(?P<point>.+))?", re.DOTALL)
_SHORT_RUN_ID = re.compile(r"[0-9a-f]{6,31}")
_LISTED = 6


def runs_to_name(
    wanted: Sequence[str],
    experiments: tuple[str, ...],
    store: MlflowClient,
    filter: str | None = None,
) -> list[Point]:
    """The score runs among which names are looked up.

    Those of `experiments`; without any, those of the current experiment if all of `wanted` are
    among them, else those of the whole store.

    Raises
    ------
    InputError
        If there are none, or an experiment is not there.
    """
    if experiments:
        return _called(wanted, experiments, filter, store) or select_runs(
            experiments, filter, store=store
        )
    here = experiment_name(experiment_id(None, store), store)
    runs = _called(wanted, (here,), filter, store)
    if runs:
        return runs
    with contextlib.suppress(InputError):
        runs = select_runs((here,), filter, store=store)
    if all(matching(reference, runs) for reference in wanted):
        return runs
    names = tuple(experiment.name for experiment in find_experiments((), store))
    return _called(wanted, names, filter, store) or select_runs(names, filter, store=store)


def _called(
    wanted: Sequence[str], experiments: tuple[str, ...], filter: str | None, store: MlflowClient
) -> list[Point]:
    """The runs that the store itself finds by their name or model, if that names all of `wanted`.

    Reading all runs of an experiment to find two takes two seconds a thousand.
    """
    found: dict[tuple[str, str, int | None], Point] = {}
    for reference in wanted:
        name, model = in_filter(run_name(reference)), in_filter(reference.partition("@")[0])
        if name is None or model is None:
            return []
        for asked in (f"attributes.run_name = {name}", f"tags.`{schema.TAG_MODEL}` = {model}"):
            also = f"{asked} AND {filter}" if filter else asked
            with contextlib.suppress(InputError):
                runs = select_runs(experiments, also, store=store)
                found |= {run.place: run for run in runs}
    named = unique_names(list(found.values()))
    return named if all(matching(reference, named) for reference in wanted) else []


def one_named(reference: str, runs: list[Point], experiments: tuple[str, ...]) -> Point:
    """The one run that a name stands for.

    Raises
    ------
    InputError
        If there is none (it lists what is there), or several.
    """
    found = matching(reference, runs)
    if not found:
        where = f"experiment {listed(experiments)}" if experiments else "the store"
        raise InputError(
            f"No finished score of {reference!r} is in {where}; score it first, or name one that "
            f"is there, such as {listed(alike(reference, runs))}."
        )
    return only_one(reference, found)


def is_run_id(reference: str) -> bool:
    """Whether a reference is a run id, or RUN_ID@STEP or RUN_ID@NAME, one of a run's points."""
    return bool(_RUN_ID.fullmatch(reference))


def by_run_id(reference: str, store: MlflowClient) -> Point:
    """The score that a run id, RUN_ID@STEP or RUN_ID@NAME stands for.

    Of a monitored training's checkpoints it is the one at that step, without a step the last; of
    imported vectors the one of that name, or at that step.

    Raises
    ------
    InputError
        If there is no such run, step or name, the run is not finished or holds no score, or
        several are meant.
    """
    written = _RUN_ID.fullmatch(reference)
    assert written is not None
    runs = select_runs(run_ids=(written["run"],), store=store)
    asked = written["point"]
    found = [run for run in runs if asked is None or (run.imported and run.name == asked)]
    if not found and asked.isdecimal():
        found = [run for run in runs if run.step == int(asked)]
    if found:
        if all(run.monitored for run in found):
            return max(found, key=lambda run: run.step or 0)
        return only_one(reference, found)
    if any(run.imported for run in runs):
        raise InputError(
            f"Run {written['run']} holds no point {asked!r}; there is {listed(alike(asked, runs))}."
        )
    steps = [str(run.step) for run in runs if run.step is not None]
    shown = ", ".join(steps[:_LISTED]) + (f" .. {steps[-1]}" if len(steps) > _LISTED else "")
    raise InputError(
        f"Run {written['run']} holds no score at step {asked}; "
        + (f"there is {shown}." if steps else "leave the step out.")
    )


def only_one(reference: str, found: list[Point]) -> Point:
    """The only one of these; of scores that are the same to the bit, the plain one.

    A model that was scored with its layers and without has two runs and one vector.

    Raises
    ------
    InputError
        If there are several; it lists them.
    """
    if len(found) == 1:
        return found[0]
    same = _of_equal(found)
    if same is not None:
        return same
    several = [f"{run.name!r} (run {run.run_id[:8]})" for run in found]
    by = "name, or as RUN_ID@NAME" if any(run.imported for run in found) else "name or run id"
    raise InputError(
        f"{reference!r} stands for {len(found)} scores, {listed(several, _LISTED, quoted=False)}; "
        f"name one of them by its {by}."
    )


def _of_equal(found: list[Point]) -> Point | None:
    """One of scores whose vectors are the same to the bit; None where they are not.

    That without layers, and with responses without their prompts, which serves whoever asks.
    """
    models = {(run.model, run.revision, run.commit, run.text_set, run.layer) for run in found}
    if len(models) > 1 or len(found) > _LISTED:
        return None
    try:
        matrix, points = read_matrix(found)
    except ModelMapError:
        return None
    if not (matrix.values == matrix.values[0]).all():
        return None
    store = client()
    plain = [
        point
        for point in points
        if find_run(point.run_id, store).data.params.get("modelmap.layers", "0") == "0"
    ]
    best = plain or points
    with_both = [point for point in best if point.tags.get(schema.TAG_UNCONDITIONAL) == "true"]
    return (with_both or best)[-1]


def matching(reference: str, runs: list[Point], *, models: bool = True) -> list[Point]:
    """Runs that a reference names, by the strictest reading that names any.

    Parameters
    ----------
    models
        Whether the name of the model that was scored counts, or only that of the run.
    """
    model, _, revision = reference.partition("@")
    readings = (
        lambda run: run.name in (reference, run_name(reference)),
        lambda run: run.tags.get("mlflow.runName") == reference,
        lambda run: models and run.model == reference,
        lambda run: models and bool(revision) and run.model == model and run.revision == revision,
        lambda run: models and _same_directory(run.model, reference),
        lambda run: bool(_SHORT_RUN_ID.fullmatch(reference)) and run.run_id.startswith(reference),
    )
    for reading in readings:
        found = [run for run in runs if reading(run)]
        if found:
            return found
    return []


def _same_directory(model: str, reference: str) -> bool:
    return is_here(reference) and is_here(model) and tag_name(reference) == tag_name(model)


def alike(reference: str, runs: list[Point]) -> list[str]:
    """Names that look like a reference, or else the first that are there."""
    names = [run.name for run in runs]
    return get_close_matches(reference, names, 3, 0.3) or names[:3]
