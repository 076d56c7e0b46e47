"""Driver: those of many scores that are of one text set, however that is named."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.stored_texts import NAME, RUN, digest_in
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened


def names_its_texts(texts: TextSet | str | os.PathLike[str], point: Point) -> bool:
    """Whether what was given only names a point's text set, as its run does, and is no file."""
    if isinstance(texts, TextSet) or os.path.exists(texts):
        return False
    written = os.fspath(texts)
    digest = digest_in(written)
    by_digest = digest is not None and point.text_set.startswith(digest)
    return written == point.text_set_name or by_digest


def on_texts(texts: TextSet | str | os.PathLike[str], runs: list[Point]) -> list[Point]:
    """Those of the runs that were scored on one text set.

    Parameters
    ----------
    texts
        The text set, its name as the runs say it, at least 12 digits of its digest, or what
        `load_texts` takes.

    Raises
    ------
    InputError
        If none was, or several text sets are called so; it says which there are.
    """
    written = None if isinstance(texts, TextSet) else os.fspath(texts)
    name = ""
    by_name = written is not None and not os.path.exists(written)
    digests = {run.text_set for run in runs if by_name and run.text_set_name == written}
    beginning = digest_in(written) if written is not None and by_name else None
    if not digests and beginning:
        digests = {run.text_set for run in runs if run.text_set.startswith(beginning)}
    if not digests:
        try:
            given = load_texts(texts, allow_duplicates=True)
            name, digests = given.name, {given.digest}
        except InputError as error:
            if written is None or not by_name or written.startswith((RUN, NAME)):
                raise
            raise InputError(
                f"No selected run was scored on texts called {shortened(written)!r}, but on "
                f"{_sets(runs)}; name one of these."
            ) from error
    if len(digests) > 1:
        raise InputError(
            f"Several text sets are called {shortened(written)!r}; choose one by its digest, of "
            f"{listed([digest[:12] for digest in sorted(digests)])}."
        )
    (digest,) = digests
    found = [run for run in runs if run.text_set == digest]
    if not found:
        raise InputError(
            f"The texts {shortened(name)!r} (digest {digest[:12]}) are not those that were scored "
            f"({_sets(runs)}); give the same texts in the same order."
        )
    return found


def _sets(runs: Sequence[Point]) -> str:
    names = {run.text_set: run.text_set_name for run in runs}
    told = [f"{shortened(name or 'unnamed', 60)} ({of[:12]})" for of, name in names.items()]
    return listed(told, 8, quoted=False)
