"""Driver: what is asked for - a model to score, how, and what its run is to say of it."""

from __future__ import annotations

import os

from mlflow_modelmap.scoring.model.reference import HUB, LOCAL, SERVED, ModelReference
from mlflow_modelmap.scoring.settings import TRANSFORMERS, ScoringSettings
from mlflow_modelmap.scoring.strict import Checked, Step, Strict, Text


class TrainingFields(Strict):
    """What a run says of its model that the checkpoints of one training have in common.

    Parameters
    ----------
    trajectory
        The training that the model is a checkpoint of.
    model_type
        Its family; by default what its configuration says.
    base_model
        What it was made from.
    """

    trajectory: Text | None = None
    model_type: Text | None = None
    base_model: Text | None = None


class PointFields(TrainingFields):
    """What a run says of its model, its training step with it."""

    step: Step | None = None


class Said(PointFields, Checked):
    """Those fields by themselves, for a model that nobody requests: one in memory.

    Raises
    ------
    InputError
        If the step is negative, or a value of the wrong kind.
    """


class ScoreRequest(PointFields, Checked):
    """A model to score: which, how, and what the run is to say of it.

    `base` is what an adapter is applied to, if the user says it; by default what it names itself.

    Raises
    ------
    InputError
        If the step is negative, or a value of the wrong kind.
    """

    reference: ModelReference
    settings: ScoringSettings = ScoringSettings()
    name: Text | None = None
    base: ModelReference | None = None

    @property
    def point_name(self) -> str:
        """The run's name: as given, else the trajectory and step, else the model's own name."""
        if self.name:
            return self.name
        reference = self.reference
        if self.trajectory and self.step is not None:
            base = f"{self.trajectory} step {self.step}"
        elif reference.kind == LOCAL:
            base = os.path.basename(reference.name.rstrip("/")) or reference.name
        elif reference.kind in (HUB, SERVED):
            base = reference.name.rstrip("/").rpartition("/")[2]
        else:
            base = reference.name.partition(":/")[2].lstrip("/")
        if reference.revision and reference.revision not in base and self.step is None:
            base = f"{base}@{reference.revision}"
        elif self.step is not None and not self.trajectory:
            base = f"{base} step {self.step}"
        if self.settings.engine != TRANSFORMERS:
            base = f"{base} {self.settings.engine}"
        asked, threshold = self.settings.precision, self.settings.int8_threshold
        if asked != "auto" and asked not in base:
            base = f"{base} {asked}"
        return f"{base} threshold {threshold:g}" if asked == "int8" and threshold else base

    def labels(self) -> dict[str, str]:
        """What the score is called; part of its identity."""
        labels = {
            "model": self.reference.name,
            "revision": self.reference.revision,
            "trajectory": self.trajectory,
            "step": None if self.step is None else str(self.step),
            "name": self.name,
        }
        return {key: value for key, value in labels.items() if value is not None}


def trajectory_of(reference: ModelReference, step: int | None) -> str | None:
    """Which training a model is taken to belong to where nobody says: its repository's."""
    return reference.name if step is not None and reference.kind == HUB else None
