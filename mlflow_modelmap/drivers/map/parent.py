"""Driver: a map that further points can be put on."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_modelmap.drivers.map.model_map import ModelMap, read_map
from mlflow_modelmap.drivers.map.record import OfTexts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.study_run import StudyRun


@dataclass(frozen=True, eq=False)
class Parent:
    """A map, and what its run keeps so that further points can be put on it."""

    map: ModelMap
    run: StudyRun
    texts: OfTexts


def load_parent(run_id: str) -> Parent:
    """A map to put points on.

    Raises
    ------
    InputError
        If there is no such map, or it is of an earlier version, which did not keep what it takes.
    """
    made, run = read_map(run_id)
    if not {schema.STUDY_CENTRE, schema.STUDY_TEXT_BYTES} <= set(run.arrays):
        raise InputError(
            f"No point can be put on the map {run_id}, which does not keep where its centre lies; "
            "a map that this version makes of its runs does."
        )
    clip = run.params.get("modelmap.preprocessing.clip_value")
    texts = OfTexts(
        run.arrays[schema.STUDY_CENTRE],
        run.arrays[schema.STUDY_TEXT_BYTES],
        run.arrays.get(schema.STUDY_DOCUMENTS),
        float(clip) if clip and clip != "None" else None,
    )
    return Parent(made, run, texts)
