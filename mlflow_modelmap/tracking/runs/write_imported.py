"""Tracking: one imported point as a score run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.vector_table import vectors_digest, vectors_of, write_vectors
from mlflow_modelmap.tracking.runs.vectors_points import PARAMS, TAG_OF, is_said
from mlflow_modelmap.tracking.runs.vectors_run import ManyVectors
from mlflow_modelmap.tracking.runs.write_score import mean_log_likelihood


def write_imported_score(
    one: ManyVectors,
    row: Mapping[str, Any],
    *,
    store: MlflowClient,
    texts: TextSet | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    experiment: str | None = None,
    parent_run_id: str | None = None,
) -> str:
    """Write one score run, complete or FAILED; its run id comes back.

    Parameters
    ----------
    one
        Whose `values` are those of this point, shape (1, N).
    row
        Of its points: name, ``bits_per_byte``, and what is said of it.
    texts
        The texts themselves, where they are at hand: logged as what was scored.
    params, tags
        Further ones; see `OpenRun.log`.
    experiment, parent_run_id
        Where to log, see `open_run`.

    Raises
    ------
    TrackingError
        If the store cannot take it.
    """
    known = {name: value for name, value in row.items() if not pd.isna(value)}
    said = {name: str(value) for name, value in known.items() if is_said(name) or name == "step"}
    own_params = {name: said.pop(name) for name in PARAMS if name in said}
    step = int(known["step"]) if "step" in known else None
    own_tags = {TAG_OF.get(name, name): value for name, value in said.items()}
    values = one.values[0].astype(np.float64)
    tokens = np.zeros(len(values)) if one.scored_tokens is None else one.scored_tokens
    result = ScoreResult(
        log_likelihoods=values,
        scored_tokens=tokens.astype(np.int64),
        bytes=one.bytes,
        layer_log_likelihoods=None,
        provenance={},
    )
    metrics = {
        schema.METRIC_BITS_PER_BYTE: float(known["bits_per_byte"]),
        schema.METRIC_MEAN_LOG_LIKELIHOOD: mean_log_likelihood(values, one.weights),
    }
    if "noise_kl" in known:
        metrics[schema.METRIC_NOISE_KL] = float(known["noise_kl"])
    with open_run(
        schema.KIND_SCORE,
        store=store,
        name=str(row["point"]),
        experiment=experiment,
        parent_run_id=parent_run_id,
        tags={
            schema.TAG_TEXT_SET: one.text_set,
            schema.TAG_TEXT_SET_NAME: one.text_set_name,
            **own_tags,
            **(tags or {}),
        },
    ) as run:
        if texts is not None:
            run.log_texts(TextSetDataset(texts))
        with temporary_folder() as folder:
            path = Path(folder) / Path(schema.LOG_LIKELIHOODS).name
            write_vectors(result, path, weights=one.weights, documents=one.documents)
            run.log_folder(folder)
        digest = vectors_digest(vectors_of(result, one.weights, one.documents))
        run.log(
            params={**(params or {}), **own_params, "texts": len(values)},
            metrics=metrics,
            tags={schema.TAG_VECTOR: digest},
            step=step or 0,
        )
        return run.run_id
