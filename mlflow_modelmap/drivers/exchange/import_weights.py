"""Driver: `modelmap import --weights`, released distances of weights as a ``weights`` run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mlflow_modelmap.drivers.exchange.in_file import path_of
from mlflow_modelmap.drivers.exchange.labels import Labels, read_steps
from mlflow_modelmap.drivers.exchange.pickles import read_pickle
from mlflow_modelmap.drivers.exchange.read_file import PICKLES
from mlflow_modelmap.drivers.exchange.released import PYTHIA_STEPS, weight_table
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import write_study
from mlflow_modelmap.words.shortened import shortened

PYTHIA = "pythia"


@dataclass(frozen=True)
class ImportedWeights:
    """The run of kind ``weights`` that was made, and how many distances it holds."""

    run_id: str
    distances: int
    trajectories: tuple[str, ...]


def import_weights(
    file: str | os.PathLike[str],
    *,
    steps: str | os.PathLike[str] | None = None,
    model_format: str | None = None,
    name: str | None = None,
    experiment: str | None = None,
) -> ImportedWeights:
    """Make the released distances between checkpoints' weights a run that `trajectory` reads.

    Parameters
    ----------
    file
        A pickle {name: (T, T) array} of squared distances, 0 where none was computed.
    steps
        The training step of each row: a file of whole numbers, or ``pythia`` for its 154.
    model_format
        What models are called, ``{}`` for a name in the file; the trajectory is its last part, or
        the whole of it where two models have the same.
    name, experiment
        Of the run.

    Raises
    ------
    InputError
        If the file is something else, or the steps are not given or not as many.
    TrackingError
        If the store cannot take it.
    """
    path = path_of(file)
    if path.suffix.lower() not in PICKLES:
        raise InputError(
            f"Distances of weights are read from a pickle, .pkl, and not from "
            f"{shortened(str(path))!r}; give weight_distance.pkl."
        )
    if not steps:
        raise InputError(
            "The steps of the distances were not given; say --steps pythia, or a file of them."
        )
    Labels(model_format)  # what is no format is said before anything is read
    pythia = os.fspath(steps) == PYTHIA
    at = PYTHIA_STEPS if pythia else read_steps(steps)
    form = model_format or "{}"
    table = weight_table(read_pickle(path), at, form)
    made = write_study(
        schema.KIND_WEIGHTS,
        tables={"weight_distances": table},
        params={"imported_from": Path(path).name, "steps": os.fspath(steps)},
        name=name or path.stem,
        experiment=experiment,
    )
    return ImportedWeights(made, len(table), tuple(table["trajectory"].unique()))
