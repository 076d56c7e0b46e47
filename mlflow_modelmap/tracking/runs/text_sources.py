"""Tracking: where the texts of score runs were read from, as the runs' dataset inputs say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from mlflow import MlflowClient

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run


def text_sources(run_ids: Iterable[str], text_set: str, store: MlflowClient) -> Iterator[str]:
    """What `read_texts` was given, each once, for the text set with this digest.

    Runs are asked one by one, as far as the answers are wanted; a run that is gone says nothing.

    Raises
    ------
    TrackingError
        If the store cannot answer.
    """
    said: set[str] = set()
    for run_id in run_ids:
        try:
            inputs = find_run(run_id, store).inputs
        except InputError:
            continue
        for used in inputs.dataset_inputs if inputs else ():
            # MLflow keeps the beginning of a digest.
            if not used.dataset.digest or not text_set.startswith(used.dataset.digest):
                continue
            uri = _uri_in(used.dataset.source)
            if uri and uri not in said:
                said.add(uri)
                yield uri


def _uri_in(source: str | None) -> str | None:
    """Of a `TextSetSource`; None for what others wrote."""
    try:
        written = json.loads(source or "{}")
    except (ValueError, RecursionError):
        return None
    uri = written.get("uri") if isinstance(written, dict) else None
    return uri if isinstance(uri, str) and "\0" not in uri else None
