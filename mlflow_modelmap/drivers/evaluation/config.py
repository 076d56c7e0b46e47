"""Driver: what MLflow hands over for an evaluation - its configuration, and the texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema

_SETTINGS = tuple(f.name for f in fields(ScoringSettings))


@dataclass(frozen=True)
class EvaluationConfig:
    """What `evaluator_config` may hold, beside the fields of `ScoringSettings`.

    Parameters
    ----------
    reference
        A run, a scored point or a model, as `modelmap gate` takes it.
    reference_precision
        Of the reference, if it is scored now.
    text_column
        Where the texts stand in a frame.
    text_set_name
        What the run calls the texts; by default the dataset's name.
    allow_duplicates
        Whether the same text may occur twice.
    trajectory, step, model_type, base_model
        What the run says of the model, as for `score`.
    progress
        Whether a progress bar is shown.
    """

    reference: str | None = None
    reference_precision: str | None = None
    text_column: str = "text"
    text_set_name: str | None = None
    allow_duplicates: bool = False
    trajectory: str | None = None
    step: int | None = None
    model_type: str | None = None
    base_model: str | None = None
    progress: bool = False
    settings: ScoringSettings = field(default_factory=ScoringSettings)

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> EvaluationConfig:
        """Read an `evaluator_config`.

        Raises
        ------
        InputError
            If a key is unknown; it lists those that are known.
        """
        own = [f.name for f in fields(cls) if f.name != "settings"]
        unknown = [str(key) for key in written if key not in (*own, *_SETTINGS)]
        if unknown:
            raise InputError(
                f"The evaluator modelmap knows no {', '.join(map(repr, unknown))} in "
                f"evaluator_config; it takes {', '.join((*own, *_SETTINGS))}."
            )
        chosen = {key: value for key, value in written.items() if key in own}
        settings = {key: value for key, value in written.items() if key in _SETTINGS}
        try:
            return cls(**chosen, settings=ScoringSettings(**settings))
        except TypeError as error:
            raise InputError(
                f"evaluator_config holds a value of the wrong kind: {error}."
            ) from None


def texts_of(dataset: Any, config: EvaluationConfig) -> TextSet:
    """The text set in an evaluation dataset: a column of a frame, or an array of strings.

    Raises
    ------
    InputError
        If there is no such column, or the texts are none that models can be scored on.
    """
    data = dataset.features_data
    domains = weights = None
    if isinstance(data, pd.DataFrame):
        column = config.text_column
        if column not in data:
            there = ", ".join(map(repr, data.columns)) or "none"
            raise InputError(
                f"The data has no column {column!r} with the texts (its columns: {there}); name "
                "the one that has them as text_column in evaluator_config."
            )
        written = data[column].tolist()
        if schema.WEIGHT_COLUMN in data and column != schema.WEIGHT_COLUMN:
            weights = tuple(float(weight) for weight in data[schema.WEIGHT_COLUMN])
        if "domain" in data and column != "domain":
            domains = tuple(map(str, data["domain"]))
    else:
        array = np.asarray(data)
        if array.ndim > 1 and array.shape[1] != 1:
            raise InputError(
                f"The data is an array of {array.shape[1]} columns; give a list of strings, or a "
                "DataFrame with a column of texts."
            )
        written = array.ravel().tolist()
    missing = np.flatnonzero(pd.isna(np.array(written, dtype=object)))
    if len(missing):
        raise InputError(f"Text {missing[0]} of the data is missing; leave that row out.")
    named = getattr(dataset, "name", None)
    name = config.text_set_name or (named if named and named != "dataset" else "evaluation")
    return TextSet(name, tuple(written), domains, weights, config.allow_duplicates)
