"""Driver: the score runs that a study is of - selected in one way, read as a matrix and points."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlflow import MlflowClient

from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.read_vectors import DamagedRun, read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import experiment_id
from mlflow_modelmap.words.one_line import one_line


@dataclass(frozen=True, eq=False)
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

    def matrix(self, *, layers: bool = False) -> tuple[LogLikelihoodMatrix, list[Point]]:
        """Log-likelihoods (points, texts) in nats, and a point for each row; see `read_matrix`.

        Runs whose vectors cannot be read are left out, and out of `runs`, with a notice; one that
        was named by its id is an error.
        """
        damaged: list[DamagedRun] = []
        matrix, points = read_matrix(self.runs, layers=layers, left_out=damaged)
        for found in damaged:
            if found.run.run_id in self.selection.run_ids:
                raise found
            self.notices.append(
                f"Left out run {found.run.run_id} ({found.run.name!r}), which is damaged: "
                f"{found.what}; {again(found.run)}."
            )
        gone = {(found.run.run_id, found.run.vectors) for found in damaged}
        self.runs[:] = [run for run in self.runs if (run.run_id, run.vectors) not in gone]
        return matrix, points


def again(run: Point) -> str:
    """How to make a score that is damaged again, within a sentence."""
    if run.monitored:
        return "its checkpoint can be scored from its weights, where they were saved"
    said = {
        "--revision": run.revision,
        "--trajectory": run.trajectory,
        "--step": run.step,
        "--precision": run.precision,
    }
    given = [f"{name} {shlex.quote(str(value))}" for name, value in said.items() if value]
    texts = shlex.quote(run.text_set_name) if run.text_set_name else "TEXTS"
    command = " ".join(["modelmap score", shlex.quote(run.model), "--texts", texts, *given])
    return f"its sweep makes it again, or `{one_line(command)} --again` does"


def select(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    otherwise: str | None = None,
    store: MlflowClient | None = None,
) -> SelectedRuns:
    """The finished score runs that somebody asked for; see `select_runs`.

    Parameters
    ----------
    experiments, filter, run_ids
        Experiments by name, an MLflow filter string, single runs.
    otherwise
        The experiment that is taken where none of them is given; by default the current one.
    store
        One that is known to answer; by default the current one, which is asked.

    Raises
    ------
    InputError
        If nothing is found, or an experiment, a run or the filter is not right.
    TrackingError
        If the store does not answer.
    """
    store = store or check_reachable()
    selection = Selection.of(experiments, filter, run_ids)
    if not selection:
        selection = Selection((store.get_experiment(experiment_id(otherwise, store)).name,))
    notices: list[str] = []
    runs = select_runs(
        selection.experiments,
        selection.filter,
        selection.run_ids,
        notices=notices,
        store=store,
    )
    return SelectedRuns(selection, runs, store, notices)
