"""Tracking: put a text set into the store, in a run of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.folders import temporary_folder
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.texts.write import write_texts
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.open_run import open_run
from mlflow_modelmap.tracking.runs.readable_or_refused import find_run
from mlflow_modelmap.tracking.runs.stored_texts import (
    NAME,
    RUN,
    StoredTexts,
    stored_in,
    texts_named,
)
from mlflow_modelmap.tracking.runs.text_dataset import TextSetDataset
from mlflow_modelmap.tracking.runs.writable import check_artifacts_writable
from mlflow_modelmap.words.shortened import shortened


def log_texts(
    texts: TextSet, store: MlflowClient, *, experiment: str | None = None
) -> tuple[StoredTexts, bool]:
    """Put a text set into the store, where everybody with the store can name it.

    Parameters
    ----------
    texts
        Its texts, prompts, domains, weights and documents are all kept.
    experiment
        Where its run goes; by default the current one.

    Returns
    -------
    StoredTexts, and whether it was there already
        The same texts under the same name are not logged twice.

    Raises
    ------
    InputError
        If the store has other texts of that name.
    TrackingError
        If the store cannot take it.
    """
    if texts.name.startswith((RUN, NAME)) or not texts.name.isprintable():
        raise InputError(
            f"A text set in the store cannot be called {shortened(texts.name)!r}, which would be "
            f"read as something else; choose a name (--name) of one line that does not begin with "
            f"{RUN} or {NAME}."
        )
    there = texts_named(texts.name, store)
    for held in there:
        if (
            held.data.tags.get(schema.TAG_TEXT_SET) == texts.digest
            and held.data.tags.get(schema.TAG_TEXT_WEIGHTS) == texts.weights_digest
        ):
            return stored_in(held), True
    if there:
        other = stored_in(there[0])
        raise InputError(
            f"The store has other texts called {texts.name!r} (digest {other.digest[:12]}, run "
            f"{other.run_id}); choose another name (--name), so that the name goes on meaning them."
        )
    check_artifacts_writable(store, experiment)
    with open_run(
        schema.KIND_TEXTS,
        store=store,
        name=texts.name,
        experiment=experiment,
        nested=False,
        tags={
            schema.TAG_TEXT_SET: texts.digest,
            schema.TAG_TEXT_SET_NAME: texts.name,
            schema.TAG_TEXT_WEIGHTS: texts.weights_digest,
        },
    ) as run:
        with temporary_folder() as folder:
            write_texts(texts, Path(folder) / Path(schema.TEXTS_FILE).name)
            run.log_folder(folder)
        run.log_texts(TextSetDataset(replace(texts, source=f"{RUN}{run.run_id}")))
        run.log(params={"texts": len(texts), "bytes": int(texts.bytes.sum())})
        run_id = run.run_id
    return stored_in(find_run(run_id, store)), False
