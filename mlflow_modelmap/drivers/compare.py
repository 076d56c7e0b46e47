"""Driver: the KL divergence between two scored models, and how large that is in words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mlflow import MlflowClient

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence import confidence_interval, kl_between
from mlflow_modelmap.numerics.paper_scale import in_words
from mlflow_modelmap.tracking.read_runs import ScoreRun, read_matrix, select_runs, unique_names
from mlflow_modelmap.tracking.store import check_reachable, experiment_id

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_SHORT_RUN_ID = re.compile(r"[0-9a-f]{6,31}")
_LISTED = 6


@dataclass(frozen=True)
class Compared:
    """One of the two: its name, run, what was scored, and its bits per byte."""

    name: str
    run_id: str
    model: str
    revision: str | None
    precision: str | None
    trajectory: str | None
    step: int | None
    bits_per_byte: float


@dataclass(frozen=True)
class Comparison:
    """The KL divergence between two scored models.

    Attributes
    ----------
    a, b
        The two.
    kl, se
        Bits per byte.
    low, high
        95 % confidence interval.
    words
        Where that lies on the paper's scale.
    text_set, text_set_name, texts
        Digest, name and number of the texts that both were scored on.
    """

    a: Compared
    b: Compared
    kl: float
    se: float
    low: float
    high: float
    words: str
    text_set: str
    text_set_name: str | None
    texts: int


def compare(a: str, b: str, *, experiments: Iterable[str] = ()) -> Comparison:
    """Measure the KL divergence between two models that are scored already.

    Parameters
    ----------
    a, b
        Each a run id (or its first letters), the name of a run or of a point on a map, or a model
        reference (``org/name``, ``org/name@revision``, a directory, ``models:/name/1``).
    experiments
        Where names are looked up; by default the current experiment, and if that holds none of
        them, all.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If one of them is not there or stands for several runs, both are the same run, or they
        were scored on different text sets.
    """
    store = check_reachable()
    first, second = _find((a, b), tuple(experiments), store)
    if first.run_id == second.run_id:
        raise InputError(
            f"{a!r} and {b!r} are the same run, {first.run_id} ({first.name!r}); name two "
            "different ones."
        )
    matrix, points = read_matrix(unique_names([first, second]))
    kl, se = kl_between(matrix.values[0], matrix.values[1], matrix.mean_bytes)
    low, high = confidence_interval(kl, se)
    return Comparison(
        a=_compared(points[0]),
        b=_compared(points[1]),
        kl=kl,
        se=se,
        low=float(low),
        high=float(high),
        words=in_words(kl, se),
        text_set=first.text_set,
        text_set_name=first.text_set_name,
        texts=matrix.values.shape[1],
    )


def _compared(point: ScoreRun) -> Compared:
    assert point.bits_per_byte is not None
    return Compared(
        name=point.name,
        run_id=point.run_id,
        model=point.model,
        revision=point.revision,
        precision=point.precision,
        trajectory=point.trajectory,
        step=point.step,
        bits_per_byte=point.bits_per_byte,
    )


def _find(
    references: tuple[str, str], experiments: tuple[str, ...], store: MlflowClient
) -> tuple[ScoreRun, ScoreRun]:
    names = [reference for reference in references if not _RUN_ID.fullmatch(reference)]
    runs = _scored(experiments, names, store) if names else []
    first, second = (
        _one(reference, runs, experiments)
        if reference in names
        else _only(reference, select_runs(run_ids=(reference,), store=store))
        for reference in references
    )
    return first, second


def _scored(experiments: tuple[str, ...], wanted: list[str], store: MlflowClient) -> list[ScoreRun]:
    """The score runs among which names are looked up."""
    if experiments:
        return select_runs(experiments, store=store)
    here = store.get_experiment(experiment_id(None, store)).name
    runs: list[ScoreRun] = []
    with contextlib.suppress(InputError):
        runs = select_runs((here,), store=store)
    if all(_matching(reference, runs) for reference in wanted):
        return runs
    names = tuple(e.name for e in store.search_experiments(max_results=1000))
    return select_runs(names, store=store)


def _one(reference: str, runs: list[ScoreRun], experiments: tuple[str, ...]) -> ScoreRun:
    found = _matching(reference, runs)
    if not found:
        where = f"experiment {', '.join(map(repr, experiments))}" if experiments else "the store"
        like = _alike(reference, runs)
        raise InputError(
            f"No finished score of {reference!r} is in {where}; score it first, or name one that "
            f"is there, such as {', '.join(map(repr, like))}."
        )
    return _only(reference, found)


def _only(reference: str, found: list[ScoreRun]) -> ScoreRun:
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{run.name!r} (run {run.run_id[:8]})" for run in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise InputError(
        f"{reference!r} stands for {len(found)} scores, {listed}{more}; name one of them by its "
        "name or run id."
    )


def _matching(reference: str, runs: list[ScoreRun]) -> list[ScoreRun]:
    """Runs that a reference names, by the strictest reading that names any."""
    model, _, revision = reference.partition("@")
    readings = (
        lambda run: run.name == reference,
        lambda run: run.tags.get("mlflow.runName") == reference,
        lambda run: run.model == reference,
        lambda run: bool(revision) and run.model == model and run.revision == revision,
        lambda run: _same_directory(run.model, reference),
        lambda run: bool(_SHORT_RUN_ID.fullmatch(reference)) and run.run_id.startswith(reference),
    )
    for reading in readings:
        found = [run for run in runs if reading(run)]
        if found:
            return found
    return []


def _same_directory(model: str, reference: str) -> bool:
    path = Path(reference).expanduser()
    return path.is_dir() and Path(model).is_dir() and path.samefile(model)


def _alike(reference: str, runs: list[ScoreRun]) -> list[str]:
    names = [run.name for run in runs]
    return get_close_matches(reference, names, 3, 0.3) or names[:3]
