"""Driver: models, scored where they are not yet, put on a map that is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

from mlflow_modelmap.drivers.map.extend import extend
from mlflow_modelmap.drivers.map.model_map import ModelMap
from mlflow_modelmap.drivers.map.parent import load_parent
from mlflow_modelmap.drivers.map.resample import texts_source
from mlflow_modelmap.drivers.pair.named_score import by_run_id, is_run_id
from mlflow_modelmap.drivers.pair.reference_score import reference_score
from mlflow_modelmap.drivers.study.selection import SelectedRuns, select
from mlflow_modelmap.drivers.study.texts_of_points import read_texts_of
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.map.map import ColourBy
from mlflow_modelmap.numerics.points.embedding import check_open_tsne
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import experiment_name

Place: TypeAlias = tuple[str, str, int | None]
"""Where a vector lies: `Point.place`."""


def place_on_map(
    models: Sequence[str | os.PathLike[str]],
    map_run: str,
    *,
    texts: str | os.PathLike[str] | TextSet | None = None,
    settings: ScoringSettings | None = None,
    experiment: str | None = None,
    colour_by: ColourBy = "auto",
    name: str | None = None,
    output_experiment: str | None = None,
    progress: bool = False,
) -> ModelMap:
    """Put models on a map: what is not scored is scored, and a new run of kind ``map`` is logged.

    Parameters
    ----------
    models
        Each a run id, the name of a score, or a model reference; see `reference_score`.
    map_run
        Run id of the map. Its points keep their coordinates to the bit; see `build_map`.
    texts
        The map's text set, which is needed for names and models: what `read_texts` takes. By
        default where the map's own scores read it from.
    settings
        How models are scored that are not scored yet.
    experiment
        Where scores are looked for and go; by default the map's.
    colour_by
        What the colours of the pictures say.
    name, output_experiment
        Of the new map; by default it lies beside the other.
    progress
        Whether bars are shown on stderr.

    Returns
    -------
    ModelMap
        `placed` says how well each new point fits.

    Raises
    ------
    InputError
        If there is no such map, a model or the texts cannot be found, all are on the map already,
        or what was scored is not what the map is made of.
    ScoringError
        If a model cannot be scored.
    """
    if not models:
        raise InputError("No model was given; name one or more to put on the map.")
    check_open_tsne()
    parent = load_parent(map_run)
    check_artifacts_writable(check_reachable(), output_experiment)
    places = scores_on(
        models, parent.map, texts=texts, settings=settings, experiment=experiment, progress=progress
    )
    return extend(
        parent,
        selected_places(places, parent.map.vector),
        colour_by=colour_by,
        name=name,
        output_experiment=output_experiment,
        into=None,
    )


def scores_on(
    models: Sequence[str | os.PathLike[str]],
    made: ModelMap,
    *,
    texts: str | os.PathLike[str] | TextSet | None,
    settings: ScoringSettings | None,
    experiment: str | None,
    progress: bool,
) -> list[Place]:
    """Where the scores of models on a map's texts lie, made where they are not there.

    A bare run id stands for all of its points; all else for one.
    """
    store = check_reachable()
    whole: TextSet | None = None
    found: list[Place] = []
    for model in models:
        written = os.fspath(model)
        if is_run_id(written):
            points = (
                [by_run_id(written, store)]
                if "@" in written
                else select_runs(run_ids=(written,), store=store)
            )
            found += [point.place for point in points]
            continue
        if whole is None:
            whole = read_texts_of(texts if texts is not None else texts_source(made, store), made)
        scored = reference_score(
            model,
            whole,
            settings=settings,
            vector=made.vector,
            experiment=experiment or experiment_name(made.experiment_id, store),
            store=store,
            progress=progress,
            role="model",
        )
        assert scored.point is not None
        found.append(scored.point.place)
    return found


def selected_places(places: Sequence[Place], vector: str) -> SelectedRuns:
    """These points alone, whatever else their runs hold."""
    selected = select(run_ids=dict.fromkeys(run_id for run_id, *_ in places), vector=vector)
    selected.runs[:] = [run for run in selected.runs if run.place in set(places)]
    return selected
