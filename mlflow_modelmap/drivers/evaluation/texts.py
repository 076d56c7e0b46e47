"""Driver: the texts in a dataset that MLflow hands over for an evaluation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.evaluation.config import EvaluationConfig
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import Prompt, document_of, prompt_of
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.words.listed import listed


def texts_of(dataset: Any, config: EvaluationConfig) -> TextSet:
    """The text set in an evaluation dataset: a column of a frame, or an array of strings.

    Raises
    ------
    InputError
        If there is no such column, or the texts are none that models can be scored on.
    """
    data = dataset.features_data
    domains = weights = documents = prompts = None
    if isinstance(data, pd.DataFrame):
        column = config.text_column
        if column not in data:
            raise InputError(
                f"The data has no column {column!r} with the texts (its columns: "
                f"{listed(data.columns, 20)}); name the one that has them as text_column in "
                "evaluator_config."
            )
        written = data[column].tolist()
        if schema.WEIGHT_COLUMN in data and column != schema.WEIGHT_COLUMN:
            weights = tuple(float(weight) for weight in data[schema.WEIGHT_COLUMN])
        if "domain" in data and column != "domain":
            domains = tuple(map(str, data["domain"]))
        if schema.DOCUMENT_COLUMN in data and column != schema.DOCUMENT_COLUMN:
            documents = tuple(
                None if pd.isna(document) else str(document)
                for document in data[schema.DOCUMENT_COLUMN]
            )
        asked = config.prompt_column or schema.PROMPT_COLUMN
        if asked in data:
            prompts = tuple(as_prompt(value, row) for row, value in enumerate(data[asked]))
        elif config.prompt_column:
            raise InputError(
                f"The data has no column {asked!r} with the prompts (its columns: "
                f"{listed(data.columns, 20)}); name the one that has them as prompt_column in "
                "evaluator_config."
            )
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
    return TextSet(
        name,
        tuple(written),
        domains,
        weights,
        config.allow_duplicates,
        documents=documents or (tuple(map(document_of, prompts)) if prompts else None),
        prompts=prompts,
    )


def as_prompt(value: Any, row: int) -> Prompt:
    """A cell of a frame as a prompt: text, a list of messages, or such a list in JSON.

    Raises
    ------
    InputError
        If it is none of these.
    """
    where = f"The prompt in row {row}"
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return prompt_of(value, where)
    return prompt_of(value, where)
