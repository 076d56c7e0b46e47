"""Driver: distances between the checkpoints of trainings in weight space, as one MLflow run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.process.progress import PARAMETERS, progress_bar
from mlflow_modelmap.drivers.score.resolve import whole_model
from mlflow_modelmap.drivers.score.spool import spool_folder
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.drivers.weights.checkpoints import (
    Checkpoint,
    by_trajectory,
    directory,
    from_plan,
    from_runs,
    from_template,
)
from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.figures.trajectory.weight_distances import weight_distances_figure
from mlflow_modelmap.scoring.model.pickles import WEIGHT_DISTANCES
from mlflow_modelmap.scoring.model.reference import LOCAL, ModelReference, is_gguf
from mlflow_modelmap.scoring.weights.squared_distances import (
    WeightDistances,
    reach_of,
    squared_distances,
)
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.destination import check_destination
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.runs.study_run import load_study, write_study
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason

PREVIOUS = "weight_distance_previous"


@dataclass(frozen=True, eq=False)
class TrajectoryWeights:
    """Squared distances between checkpoints.

    Attributes
    ----------
    run_id
        The run of kind ``weights`` that holds them.
    table
        Columns ``trajectory``, ``step_from``, ``step``, ``squared_distance``; step_from < step.
    notices
        What was left out, a sentence each.
    """

    run_id: str
    table: pd.DataFrame
    notices: tuple[str, ...] = ()

    @property
    def previous(self) -> pd.DataFrame:
        """The rows between neighbouring checkpoints."""
        later = self.table.groupby(["trajectory", "step"])["step_from"].transform("max")
        return self.table[self.table["step_from"] == later]

    def matrix(self, trajectory: str) -> pd.DataFrame:
        """Squared distances of one trajectory, square, indexed by step; NaN where not measured.

        Raises
        ------
        InputError
            If it is not among them.
        """
        part = self.table[self.table["trajectory"] == trajectory]
        if part.empty:
            known = listed(self.table["trajectory"].unique().tolist())
            raise InputError(f"There is no trajectory {trajectory!r}; there are {known}.")
        steps = sorted({*part["step_from"], *part["step"]})
        upper = part.pivot(index="step_from", columns="step", values="squared_distance")
        square = upper.reindex(index=steps, columns=steps)
        values = square.combine_first(square.T).to_numpy(copy=True)
        np.fill_diagonal(values, 0.0)
        return pd.DataFrame(values, index=steps, columns=steps)


def weight_distances(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    plan: str | os.PathLike[str] | None = None,
    model: str | None = None,
    steps: Sequence[int] = (),
    revisions: str = "step{step}",
    checkpoints: Mapping[int, str | os.PathLike[str]] | None = None,
    trajectory: str | None = None,
    window: int | None = None,
    full: bool = False,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
    progress: bool = True,
) -> TrajectoryWeights:
    """Measure squared Euclidean distances over all parameters and log one run (Section 4.2).

    The checkpoints come from score runs, a plan, one model's revisions or local directories.

    Parameters
    ----------
    experiments, filter, run_ids
        Score runs, as for a map; those without step or trajectory are left out.
    plan
        YAML file of a sweep.
    model, steps, revisions
        A model, its steps, and how a step's revision is called; ``{step}`` may stand in `model`
        instead (a directory a checkpoint).
    checkpoints
        Directories by step.
    trajectory
        What the training is called, with `model` or `checkpoints`.
    window
        Compare all pairs at most this many steps apart; neighbours always.
    full
        Compare all pairs.
    name, output_experiment, run_id
        Where it is logged.
    progress
        Whether a progress bar is shown on stderr.

    Raises
    ------
    InputError
        If the checkpoints cannot be found, are fewer than two, hold a step twice, are of
        different architectures, or are damaged. Of several trainings, the others go on.

    Notes
    -----
    The sums wait in the spool (``MLFLOW_MODELMAP_SPOOL``) until the run is FINISHED, so that the
    same call after an interruption goes on where it was.
    """
    if full and window is not None:
        raise InputError("Both a window and the full matrix were asked for; choose one.")
    if window is not None and window < 1:
        raise InputError(f"The window is {window} steps; it must be 1 or more.")
    selection = Selection.of(experiments, filter, run_ids)
    if sum((bool(selection), plan is not None, model is not None, bool(checkpoints))) != 1:
        raise InputError(
            "Say once where the checkpoints are: score runs (an experiment, filter or run ids), a "
            "plan, a model with steps, or directories by step."
        )
    store = check_reachable()
    notices: list[str] = []
    members: list[Point] = []
    if plan is not None:
        asked = from_plan(plan, notices)
    elif model is not None:
        asked = from_template(model, steps, revisions, trajectory)
    elif checkpoints:
        asked = [
            Checkpoint(trajectory or "checkpoints", step, directory(path))
            for step, path in checkpoints.items()
        ]
    else:
        selected = select(selection.experiments, selection.filter, selection.run_ids, store=store)
        notices = selected.notices
        asked, members = from_runs(selected.runs, notices)
    check_destination(members, store, output_experiment, run_id)
    kept: list[Path] = []
    parts, facts = _measure_all(
        by_trajectory(asked, notices), window, full, progress, notices, kept
    )
    table = pd.concat(parts, ignore_index=True)
    result = TrajectoryWeights("", table, tuple(notices))
    several = table["trajectory"].nunique() > 1
    same_texts = len({member.text_set for member in members}) == 1
    made = write_study(
        schema.KIND_WEIGHTS,
        tables={"weight_distances": table, "weight_parameters": facts},
        figures={PREVIOUS: weight_distances_figure(result.previous)},
        series=[
            (
                f"{PREVIOUS}/{row.trajectory}" if several else PREVIOUS,
                row.step,
                row.squared_distance,
            )
            for row in result.previous.itertuples()
        ],
        params={
            "window": "all" if full else window or "neighbours",
            "plan": os.fspath(plan) if plan else "",
        },
        tags={
            schema.TAG_TRAJECTORY: None if several else str(table["trajectory"].iloc[0]),
            schema.TAG_MODEL: model,
        },
        members=members if same_texts else (),
        selection=selection,
        notices=notices,
        name=name or "weights",
        experiment=output_experiment,
        run_id=run_id,
        store=store,
    )
    for path in kept:  # the run is FINISHED
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return TrajectoryWeights(made, table, tuple(notices))


def load_weight_distances(run_id: str) -> TrajectoryWeights:
    """What `weight_distances` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished run of kind ``weights``.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(run_id, schema.KIND_WEIGHTS, tables=("weight_distances",))
    return TrajectoryWeights(run_id, read.tables["weight_distances"], read.notices)


def _measure_all(
    lines: Mapping[str, list[Checkpoint]],
    window: int | None,
    full: bool,
    progress: bool,
    notices: list[str],
    kept: list[Path],
) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    parts: list[pd.DataFrame] = []
    facts: list[dict[str, object]] = []
    for name, line in lines.items():
        steps = np.array([checkpoint.step for checkpoint in line])
        reach = reach_of(steps, None if full else window or 0)
        try:
            found = _measure(name, line, reach, progress)
        except TrackingError:
            raise
        except ModelMapError as error:
            if len(lines) == 1:
                raise
            notices.append(f"The trajectory {name!r} was left out: {reason(error)}.")
            continue
        kept += [found.kept] if found.kept else []
        index = np.arange(len(line))
        first, second = np.nonzero((index[:, None] < index) & (index <= reach[:, None]))
        squared = found.squared[first, second]
        if not squared.any():
            notices.append(
                f"All {len(line)} checkpoints of {name!r} hold the same weights; their distances "
                "are 0 and say nothing about a diffusion, so check that each step is its own."
            )
        parts.append(
            pd.DataFrame(
                {
                    "trajectory": name,
                    "step_from": steps[first],
                    "step": steps[second],
                    "squared_distance": squared,
                }
            )
        )
        facts.append({"trajectory": name, "tensor": "all", "numbers": found.parameters})
        facts += [
            {"trajectory": name, "tensor": tensor, "left_out": why}
            for tensor, why in found.left_out.items()
        ]
    if not parts:
        raise InputError(" ".join(notices))
    return parts, pd.DataFrame(facts, columns=["trajectory", "tensor", "numbers", "left_out"])


def _measure(
    name: str, line: Sequence[Checkpoint], reach: np.ndarray, progress: bool
) -> WeightDistances:
    folders = [_folder(checkpoint.reference) for checkpoint in line]
    with progress_bar(name, progress, unit=PARAMETERS) as bar:
        return squared_distances(
            folders,
            reach,
            labels=[f"step {checkpoint.step} of {name}" for checkpoint in line],
            spool=spool_folder(),
            keep=True,
            progress=bar,
        )


def _folder(reference: ModelReference) -> str:
    """The directory of a checkpoint's plain weights."""
    if is_gguf(reference.name):
        raise InputError(
            f"{str(reference)!r} is a GGUF file, and weight distances are between plain weights in "
            "safetensors; give the checkpoint that it was made from."
        )
    if reference.kind == LOCAL:
        return reference.name
    return whole_model(reference, refused=WEIGHT_DISTANCES).model_path
