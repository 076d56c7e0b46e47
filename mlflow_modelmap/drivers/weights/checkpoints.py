"""Driver: which checkpoints of which trainings, and where their weights are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow_modelmap.drivers.score.plan_file import read_plan
from mlflow_modelmap.drivers.score.plan_requests import requests
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.scoring.model.config import read_config
from mlflow_modelmap.scoring.model.hub import cached_snapshot
from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, ModelReference
from mlflow_modelmap.scoring.model.stored_quantization import stored_quantization
from mlflow_modelmap.scoring.weights.quantised_tensors import is_read
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.counted import counted


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a training, and where its weights are."""

    trajectory: str
    step: int
    reference: ModelReference


def by_trajectory(asked: Iterable[Checkpoint], notices: list[str]) -> dict[str, list[Checkpoint]]:
    """Checkpoints of each training in order of step, each step once; one alone is left out.

    Raises
    ------
    InputError
        If no training has two, or one has different ones of a step.
    """
    lines: dict[str, dict[int, Checkpoint]] = {}
    for checkpoint in asked:
        line = lines.setdefault(checkpoint.trajectory, {})
        there = line.setdefault(checkpoint.step, checkpoint)
        if there.reference != checkpoint.reference:
            raise InputError(
                f"The trajectory {checkpoint.trajectory!r} has the step {checkpoint.step} twice, "
                f"{there.reference} and {checkpoint.reference}; leave one out."
            )
    alone = [name for name, line in lines.items() if len(line) < 2]
    told = [f"The trajectory {name!r} has 1 checkpoint with weights" for name in alone]
    if alone and len(alone) == len(lines):
        raise InputError(f"{told[0]}; a distance needs at least two.")
    notices.extend(f"{said}, and was left out." for said in told)
    return {
        name: [line[step] for step in sorted(line)]
        for name, line in lines.items()
        if name not in alone
    }


def from_runs(runs: Sequence[Point], notices: list[str]) -> tuple[list[Checkpoint], list[Point]]:
    """The checkpoints that score runs are of, and those runs; with what is left out said.

    Raises
    ------
    InputError
        If none of the runs has a step, a trajectory and weights.
    """
    asked: list[Checkpoint] = []
    members: list[Point] = []
    stored: list[tuple[Checkpoint, Point]] = []
    bare = quantised = unsaved = adapters = 0
    for run in runs:
        if run.tags.get(schema.TAG_ADAPTER):
            adapters += 1
        elif (codes := is_quantised(run.precision)) and not _stored_so(run):
            quantised += 1
        elif run.monitored and not os.path.isdir(run.model):
            unsaved += 1
        elif run.step is None or run.trajectory is None:
            bare += 1
        else:
            reference = ModelReference.parse(run.model)
            if reference.kind == HUB:
                reference = ModelReference(HUB, reference.name, run.commit or run.revision)
            checkpoint = Checkpoint(run.trajectory, run.step, reference)
            if codes:
                stored.append((checkpoint, run))
            else:
                asked.append(checkpoint)
                members.append(run)
    plain = {checkpoint.trajectory for checkpoint in asked}
    for checkpoint, run in stored:
        if checkpoint.trajectory in plain:  # what quantising moves is no step of that training
            quantised += 1
        else:
            asked.append(checkpoint)
            members.append(run)
    if bare:
        notices.append(f"Left out {counted(bare, 'run')} without a step or trajectory.")
    if unsaved:
        notices.append(
            f"Left out {counted(unsaved, 'monitored checkpoint')} whose weights were not saved."
        )
    if adapters:
        notices.append(f"Left out {counted(adapters, 'adapter')}: no whole model's weights.")
    if quantised:
        notices.append(
            f"Left out {counted(quantised, 'quantised run')}: the weights are those of the model, "
            "or what quantising made of them."
        )
    if not asked:
        raise InputError(
            f"None of the {len(runs)} selected runs has a step and a trajectory "
            f"({schema.TAG_STEP}, {schema.TAG_TRAJECTORY}); score checkpoints with both."
        )
    return asked, members


def from_plan(plan: str | os.PathLike[str], notices: list[str]) -> list[Checkpoint]:
    """The checkpoints that a sweep's plan names; with what is left out said.

    Raises
    ------
    InputError
        If the plan cannot be read or names no step.
    """
    parsed, _ = read_plan(plan)
    wanted = requests(parsed, Path(plan).absolute().parent)
    asked = [
        Checkpoint(
            _line_name(request.reference, request.trajectory), request.step, request.reference
        )
        for request in wanted
        if request.step is not None and not is_quantised(request.settings.precision)
    ]
    if not asked:
        raise InputError(
            f"No model of the plan {os.fspath(plan)!r} has a step; list them under steps."
        )
    if len(asked) < len(wanted):
        left = counted(len(wanted) - len(asked), "model")
        notices.append(f"Left out {left} without a step, or quantised.")
    return asked


def from_template(
    model: str, steps: Sequence[int], revisions: str, trajectory: str | None
) -> list[Checkpoint]:
    """The checkpoints of one model, by its steps and how a step's revision is called.

    Parameters
    ----------
    model, revisions
        ``{step}`` stands in one of them.
    trajectory
        What the training is called; by default as the model.

    Raises
    ------
    InputError
        If there are no steps, or every step would be the same.
    """
    if not steps:
        raise InputError(f"No steps of {model!r} were given; list them, such as 0,1000,2000.")
    in_model = "{step}" in model
    if not in_model and "{step}" not in revisions:
        raise InputError(
            f"The revision {revisions!r} is the same for every step; write {{step}} in it."
        )
    asked = []
    for step in steps:
        written = model.replace("{step}", str(step))
        revision = None if in_model else revisions.replace("{step}", str(step))
        reference = ModelReference.parse(written, revision)
        line = trajectory or (model if in_model else reference.name)
        asked.append(Checkpoint(line, int(step), reference))
    return asked


def _stored_so(run: Point) -> bool:
    """Whether a quantised run's model lies here with its weights quantised, and readable so."""
    where: str | None = None
    with suppress(InputError):  # of a model that is gone, or behind a server
        reference = ModelReference.parse(run.model)
        if reference.kind == HUB:
            where = cached_snapshot(ModelReference(HUB, reference.name, run.commit or run.revision))
        elif reference.kind == LOCAL:
            where = reference.name
        stored = None if where is None else stored_quantization(read_config(where))
        return stored is not None and is_read(stored.method)
    return False


def _line_name(reference: ModelReference, trajectory: str | None) -> str:
    return trajectory or (reference.name if reference.kind == HUB else "checkpoints")


def directory(path: str | os.PathLike[str]) -> ModelReference:
    """A local directory, whatever it is called.

    Raises
    ------
    InputError
        If it is not there.
    """
    reference = ModelReference.parse(os.path.join(os.fspath(path), ""))
    if reference.kind != LOCAL:
        raise InputError(f"There is no directory {os.fspath(path)!r}; give one with a checkpoint.")
    return reference
