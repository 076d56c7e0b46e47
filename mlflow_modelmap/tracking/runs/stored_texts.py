"""Tracking: text sets that a store holds, each in a run of its own; by run, name or digest."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.artifacts import artifact_file, artifact_sizes
from mlflow_modelmap.tracking.runs.largest_sizes import TEXTS, megabytes
from mlflow_modelmap.tracking.runs.readable_or_refused import (
    check_readable,
    find_run,
    is_readable,
    kind_of,
)
from mlflow_modelmap.tracking.runs.search import of_kind, search_runs
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.tracking.store.experiments import find_experiments
from mlflow_modelmap.tracking.store.first_use import is_there
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.shortened import shortened

RUN = "runs:/"
NAME = "texts:/"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})", re.ASCII)


@dataclass(frozen=True)
class StoredTexts:
    """A text set in the store.

    Attributes
    ----------
    run_id
        Of the run that holds it.
    name, digest
        Of the text set; the digest whole.
    texts, size
        How many, and the UTF-8 bytes of all; as logged, None where the run does not say.
    """

    run_id: str
    name: str
    digest: str
    texts: int | None = None
    size: int | None = None

    @property
    def uri(self) -> str:
        """What takes it wherever texts are named."""
        return f"{RUN}{self.run_id}"


def digest_in(written: str) -> str | None:
    """The beginning of a digest, at least 12 digits, if that is what was written; else None."""
    found = _DIGEST.fullmatch(written)
    return found[1] if found else None


def names_stored(written: str) -> bool:
    """Whether what a user wrote for texts says by itself that they are in the store."""
    return written.startswith((RUN, NAME)) or digest_in(written) is not None


def is_stored(name: str) -> bool:
    """Whether the current store answers and has texts of this bare name."""
    try:
        if not is_there(mlflow.get_tracking_uri()):
            return False  # asking would make it
        return bool(texts_named(name, check_reachable()))
    except ModelMapError:
        return False


def stored_texts(store: MlflowClient) -> list[StoredTexts]:
    """All text sets that the store holds, the latest first.

    Raises
    ------
    TrackingError
        If the store cannot answer.
    """
    return [stored_in(run) for run in _search(None, store)]


def read_stored_texts(written: str, store: MlflowClient) -> TextSet:
    """A text set of the store.

    Parameters
    ----------
    written
        ``runs:/ID`` of its run, or of a score on it; ``texts:/NAME``; at least 12 digits of the
        digest; or its bare name.

    Returns
    -------
    TextSet
        With `source` ``runs:/ID``, so that scores on it say where their texts are.

    Raises
    ------
    InputError
        If there is none, or several of that beginning of a digest.
    TrackingError
        If the artifact is missing, too large, or not the texts that the run says.
    """
    run = _found(written, store)
    found = stored_in(run)
    where = f"The artifact {schema.TEXTS_FILE} of run {found.run_id}"
    folder, _, file = schema.TEXTS_FILE.rpartition("/")
    size = artifact_sizes(found.run_id, run.info.artifact_uri, store.tracking_uri, folder).get(file)
    if size is not None and size > TEXTS.size:
        raise TrackingError(
            f"{where} has {megabytes(size)}, more than the {megabytes(TEXTS.size)} that are read; "
            "fetch it and give it as a file."
        )
    try:
        with artifact_file(
            found.run_id, run.info.artifact_uri, schema.TEXTS_FILE, store.tracking_uri
        ) as path:
            texts = read_texts(path, name=found.name, allow_duplicates=True)
    except FileNotFoundError as error:
        raise TrackingError(f"{where} {error}; log the texts again.") from None
    except InputError as error:
        raise TrackingError(f"{where} is damaged ({reason(error)}); log the texts again.") from None
    weights = run.data.tags.get(schema.TAG_TEXT_WEIGHTS)
    if texts.digest != found.digest or texts.weights_digest != weights:
        raise TrackingError(
            f"{where} holds other texts than the run says (digest {texts.digest[:12]}, not "
            f"{found.digest[:12]}, or other weights); log the texts again."
        )
    return replace(texts, source=found.uri)


def _found(written: str, store: MlflowClient) -> Run:
    if written.startswith(RUN):
        return _of_run(written.removeprefix(RUN).strip("/"), store)
    digest = digest_in(written)
    if digest:
        return _of_digest(digest, store, "log them, or give a file")
    name = written.removeprefix(NAME).strip("/") if written.startswith(NAME) else written
    runs = texts_named(name, store)
    if not runs:
        names = list(dict.fromkeys(one.name for one in stored_texts(store)))
        there = f"it has {listed(names, 8)}" if names else "it has none"
        raise InputError(
            f"The store has no texts called {shortened(name)!r} ({there}); give a file, or put "
            "them there with `modelmap texts log`."
        )
    return runs[0]


def _of_run(run_id: str, store: MlflowClient) -> Run:
    """The run that holds texts, or that of the texts which a run of another kind is of."""
    run = find_run(run_id, store)
    if kind_of(run) == schema.KIND_TEXTS or not run.data.tags.get(schema.TAG_TEXT_SET):
        check_readable(run, (schema.KIND_TEXTS,))
        return run
    tags = run.data.tags
    digest = digest_in(tags[schema.TAG_TEXT_SET])
    if digest is None:
        raise InputError(f"Run {run_id} names no text set by its digest; give the texts' file.")
    return _of_digest(
        digest,
        store,
        f"run {run_id} was made on them, but they were not logged; give their file",
        {tags.get(schema.TAG_TEXT_WEIGHTS)},
    )


def _of_digest(
    digest: str,
    store: MlflowClient,
    remedy: str,
    weights: Collection[str | None] | None = None,
) -> Run:
    """The latest run of texts with this digest, and with these weights if that is asked for."""
    runs = [
        run
        for run in _search(f"tags.`{schema.TAG_TEXT_SET}` LIKE '{digest[:64]}%'", store)
        if run.data.tags[schema.TAG_TEXT_SET].startswith(digest)
        and (weights is None or run.data.tags.get(schema.TAG_TEXT_WEIGHTS) in weights)
    ]
    if len({run.data.tags[schema.TAG_TEXT_SET] for run in runs}) > 1:
        raise InputError(
            f"The store has several text sets whose digest begins with {digest!r}; give more of it."
        )
    if len({run.data.tags.get(schema.TAG_TEXT_WEIGHTS) for run in runs}) > 1:
        names = dict.fromkeys(stored_in(run).name for run in runs)
        raise InputError(
            f"The store has the texts {digest[:12]} with several weights; choose one by its name, "
            f"of {listed(list(names))}."
        )
    if not runs:
        raise InputError(f"The store has no texts with the digest {digest[:12]}; {remedy}.")
    return runs[0]


def texts_named(name: str, store: MlflowClient) -> list[Run]:
    """The runs of the text sets of this name, the latest first."""
    # The name may hold quotes, which MLflow's filters cannot escape.
    return [run for run in _search(None, store) if stored_in(run).name == name]


def _search(filter: str | None, store: MlflowClient) -> list[Run]:
    ids: Sequence[str] = [found.experiment_id for found in find_experiments((), store)]
    runs = search_runs(ids, of_kind(schema.KIND_TEXTS, filter), store)
    return [run for run in runs if is_readable(run) and run.data.tags.get(schema.TAG_TEXT_SET)]


def stored_in(run: Run) -> StoredTexts:
    """What a run of kind ``texts`` says that it holds."""
    tags, params = run.data.tags, run.data.params

    def number(name: str) -> int | None:
        said = params.get(f"modelmap.{name}", "")
        return int(said) if said.isdecimal() and len(said) < 19 else None

    name = tags.get(schema.TAG_TEXT_SET_NAME) or run.info.run_name or run.info.run_id
    digest = tags.get(schema.TAG_TEXT_SET, "")
    return StoredTexts(run.info.run_id, name, digest, number("texts"), number("bytes"))
