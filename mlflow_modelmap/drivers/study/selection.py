"""Driver: the score runs that a study is of - selected in one way, read as a matrix and points."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mlflow import MlflowClient

from mlflow_modelmap.drivers.score.on_texts import on_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.matrix.sampling import uneven_lengths
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.destination import check_destination
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import experiment_id, experiment_name
from mlflow_modelmap.words.vectors import CONDITIONAL, explained


def adapter_bases(points: Sequence[Point]) -> list[str | None]:
    """What each point that is an adapter was applied to, with its commit; None of the others."""
    return [point.tags.get(schema.TAG_ADAPTER_BASE) for point in points]


@dataclass(eq=False)
class SelectedRuns:
    """The score runs that a study is of.

    Attributes
    ----------
    selection
        What was asked for, as the study's run records it; the current experiment by its name.
    runs
        Oldest first, each with its own name.
    store
        Where they lie, and where the study goes.
    notices
        What was left out, a sentence each; the study adds its own.
    """

    selection: Selection
    runs: list[Point]
    store: MlflowClient
    notices: list[str] = field(default_factory=list)
    lengths: str | None = field(default=None, init=False)

    def matrix(self, *, layers: bool = False) -> tuple[LogLikelihoodMatrix, list[Point]]:
        """Log-likelihoods (points, texts) in nats, and a point for each row; see `read_matrix`.

        A run that cannot be read is left out with a notice, and out of `runs`, unless it was named
        by its id.
        """
        chosen = _at_layers(self.runs) if layers else _models(self.runs)
        matrix, points = read_matrix(
            chosen,
            layers=layers,
            notices=self.notices,
            named=self.selection.run_ids,
            vector=self.selection.vector,
        )
        told = uneven_lengths(matrix.length_variation)
        if told is not None and told not in self.notices:
            self.notices.append(told)
            self.lengths = told
        aside = {run.place for run in self.runs} - {run.place for run in chosen}
        kept = aside | {point.place for point in points}
        candidates = [one for run in self.runs for one in (run, *run.earlier)]
        self.runs[:] = [run for run in candidates if run.place in kept]
        return matrix, points

    def check_destination(self, experiment: str | None, run_id: str | None) -> None:
        """Whether the study's run will be able to hold artifacts, before anything is computed.

        Raises
        ------
        TrackingError
            If they cannot be written there.
        """
        check_destination(self.runs, self.store, experiment, run_id)

    def why(self) -> str:
        """What was left out, in brackets, for the end of an error that says too little is left."""
        about_all = (self.lengths, explained(self.selection.vector))
        left_out = [notice for notice in self.notices if notice not in about_all]
        return f" ({' '.join(left_out)})" if left_out else ""


def _models(runs: Sequence[Point]) -> list[Point]:
    """The points that are models themselves; of imported ones some may be layers."""
    found = [run for run in runs if run.layer is None]
    if not found:
        raise InputError(
            f"The {len(runs)} selected points are layers only, and layers were not asked for; give "
            "--layers (layers=True), or select models."
        )
    return found


def _at_layers(runs: Sequence[Point]) -> list[Point]:
    """All points but the models whose layers are there as points too; the last layer is it."""

    def of(run: Point) -> tuple[object, ...]:
        return run.run_id, run.model, run.revision, run.trajectory, run.step, run.precision

    with_layers = {of(run) for run in runs if run.layer is not None}
    return [run for run in runs if run.layer is not None or of(run) not in with_layers]


def select(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    texts: TextSet | str | os.PathLike[str] | None = None,
    vector: str = CONDITIONAL,
    otherwise: str | None = None,
    store: MlflowClient | None = None,
) -> SelectedRuns:
    """The finished score runs that somebody asked for; see `select_runs`.

    Parameters
    ----------
    experiments, filter, run_ids
        Experiments by name, an MLflow filter string, single runs.
    texts
        Of these only the runs on one text set; see `on_texts`.
    vector
        Which of their vectors: ``conditional``, log p(response | prompt), ``unconditional``,
        log p(response), or ``pmi``, the first less the second.
    otherwise
        The experiment that is taken where none of them is given; by default the current one.
    store
        One that is known to answer; by default the current one, which is asked.

    Raises
    ------
    InputError
        If nothing is found, or an experiment, a run, the filter or the vector is not right.
    TrackingError
        If the store does not answer.
    """
    store = store or check_reachable()
    selection = Selection.of(experiments, filter, run_ids, vector)
    if not selection:
        here = experiment_name(experiment_id(otherwise, store), store)
        selection = replace(selection, experiments=(here,))
    notices: list[str] = []
    runs = select_runs(
        selection.experiments,
        selection.filter,
        selection.run_ids,
        notices=notices,
        store=store,
    )
    if texts is not None:
        runs = on_texts(texts, runs)
        selection = replace(selection, texts=runs[0].text_set)
    return SelectedRuns(selection, runs, store, notices)
