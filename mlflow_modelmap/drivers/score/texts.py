"""Driver: the texts that people name - a text set that knows where it was read from."""

from __future__ import annotations

import os
from dataclasses import replace

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.prompt import LAST
from mlflow_modelmap.texts.text_set import TextSet


def load_texts(
    texts: TextSet | str | os.PathLike[str],
    *,
    column: str = "text",
    domain_column: str | None = None,
    allow_duplicates: bool = False,
    turns: str = LAST,
) -> TextSet:
    """The text set that is meant.

    Parameters
    ----------
    texts
        A text set; what `read_texts` takes; or one that is in the MLflow store (`log_texts`):
        ``runs:/ID`` of its run or of a score on it, ``texts:/NAME``, at least 12 digits of its
        digest, or its bare name where no file is called so.
    column, domain_column, allow_duplicates, turns
        Of a file, as in `read_texts`.

    Raises
    ------
    InputError
        If the texts cannot be read or are not there.
    TrackingError
        If the store cannot answer, or what it holds is damaged.
    """
    if isinstance(texts, TextSet):
        return texts
    from mlflow_modelmap.texts.read import is_built_in, read_texts
    from mlflow_modelmap.tracking.runs.stored_texts import (
        is_stored,
        names_stored,
        read_stored_texts,
    )
    from mlflow_modelmap.tracking.store.client import check_reachable

    written = os.fspath(texts)
    there = os.path.exists(written)
    if names_stored(written) and not there:
        return read_stored_texts(written, check_reachable())
    try:
        found = read_texts(
            written,
            column=column,
            domain_column=domain_column,
            allow_duplicates=allow_duplicates,
            turns=turns,
        )
    except InputError as error:
        bare = written.strip() and not there and os.path.basename(written) == written
        if bare and not is_built_in(written) and not is_stored(written):
            said = str(error).rstrip(".")
            raise InputError(
                f"{said}, or a text set of the store (see `modelmap texts list`)."
            ) from error
        if not bare or not is_stored(written):
            raise error
        return read_stored_texts(written, check_reachable())
    return replace(found, source=os.path.abspath(written) if there else written)


def shortest_name(name: str) -> str:
    """What takes a stored set of this name wherever texts are named: the name, if that is free.

    It is not where it is read as a digest, a built-in source or a file that is here.
    """
    from mlflow_modelmap.texts.read import is_built_in
    from mlflow_modelmap.tracking.runs.stored_texts import NAME, names_stored

    taken = names_stored(name) or is_built_in(name) or os.path.exists(name)
    return f"{NAME}{name}" if taken or os.path.basename(name) != name else name


def log_texts(
    texts: TextSet | str | os.PathLike[str],
    *,
    name: str | None = None,
    experiment: str | None = None,
    column: str = "text",
    domain_column: str | None = None,
    allow_duplicates: bool = False,
    turns: str = LAST,
) -> str:
    """Put a text set into the MLflow store, so that a team scores on it without passing files.

    Parameters
    ----------
    texts
        A text set, or what `read_texts` takes.
    name
        What to call it; by default its own name. A name goes on meaning the same texts.
    experiment
        Where its run goes; by default the current one.
    column, domain_column, allow_duplicates, turns
        Of a file, as in `read_texts`.

    Returns
    -------
    str
        ``runs:/ID``, which takes it wherever texts are named; that of the run which is there where
        the same texts were logged before.

    Raises
    ------
    InputError
        If the texts cannot be read, or the store has others of that name.
    TrackingError
        If the store cannot take them.
    """
    from mlflow_modelmap.tracking.runs.log_texts import log_texts as log
    from mlflow_modelmap.tracking.store.client import check_reachable

    text_set = load_texts(
        texts,
        column=column,
        domain_column=domain_column,
        allow_duplicates=allow_duplicates,
        turns=turns,
    )
    stored, _ = log(
        replace(text_set, name=name or text_set.name), check_reachable(), experiment=experiment
    )
    return stored.uri
