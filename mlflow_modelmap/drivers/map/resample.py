"""Driver: a smaller, weighted text set, chosen by what the models of a map say of the texts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from mlflow import MlflowClient

from mlflow_modelmap.drivers.map.model_map import ModelMap, load_map
from mlflow_modelmap.drivers.score.texts import load_texts
from mlflow_modelmap.drivers.study.texts_of_points import read_texts_of
from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.matrix.log_likelihoods import shares_of
from mlflow_modelmap.numerics.preprocessing.resampling import (
    METHODS,
    Method,
    draw,
    importance,
    inclusion_probabilities,
    relative_errors,
    variance_ratio,
)
from mlflow_modelmap.texts.sample import chosen_texts, random_numbers
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.stored_texts import names_stored
from mlflow_modelmap.tracking.runs.text_sources import text_sources
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.listed import listed

_ASKED = 8
"""So many runs of a map are asked where their texts were read from."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """A smaller, weighted text set, and what it will do.

    Attributes
    ----------
    text_set
        The chosen texts in their old order, their weights of mean 1.
    chosen
        Their numbers in the map's text set, ascending.
    of
        How many texts the map's text set has.
    method
        How they were chosen.
    variance_ratio
        The squared standard error of a KL against that on as many texts chosen at random,
        foretold for models like those of the map; see `variance_ratio` in
        `numerics.preprocessing.resampling`.
    relative_error
        Standard error over KL on the chosen texts: the median over pairs of the map's points.
    relative_error_before
        The same on all texts of the map.
    largest_weight
        Of one text, where their mean is 1.
    """

    text_set: TextSet
    chosen: np.ndarray
    of: int
    method: Method
    variance_ratio: float
    relative_error: float
    relative_error_before: float
    largest_weight: float


def resample_texts(
    run_id: str,
    size: int,
    *,
    method: Method = "kl",
    texts: str | os.PathLike[str] | TextSet | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Resampled:
    """Choose few texts of a map's text set, with weights that keep every KL right.

    Parameters
    ----------
    run_id
        Of a map (`build_map`, ``modelmap map``).
    size
        How many texts, 2 or more.
    method
        ``"kl"``: with probabilities that make the errors of the map's KL divergences smallest;
        ``"length-squared"``: by the texts' squared lengths in the map's coordinates;
        ``"uniform"``: at random.
    texts
        The map's text set: what `read_texts` takes. By default where its score runs read it from.
    seed
        Of the choice. With one seed most of a smaller choice lies within a larger one.
    name
        What the new text set is called.

    Returns
    -------
    Resampled
        Its weights multiply those that the texts have already.

    Raises
    ------
    InputError
        If the run is no finished map, the texts are not found or not those of the map, the size
        does not fit, or the points of the map do not differ.
    """
    if method not in METHODS:
        raise InputError(f"The method {method!r} is unknown; choose one of {', '.join(METHODS)}.")
    store = check_reachable()
    made = load_map(run_id)
    q = made.coordinates
    if not 2 <= size <= q.shape[1]:
        raise InputError(
            f"{size} texts cannot be chosen from the {q.shape[1]} of the map {run_id}; give a size "
            f"from 2 to {q.shape[1]}."
        )
    whole = read_texts_of(texts if texts is not None else texts_source(made, store), made)
    _check_weights(whole, made)
    shares = None if made.weights is None else shares_of(made.weights)
    inclusion = inclusion_probabilities(importance(q, method, shares), size)
    chosen = draw(inclusion, random_numbers(whole.keys, seed))
    every, documents = np.arange(len(whole)), whole.document_codes
    before = np.ones(len(whole)) if made.weights is None else made.weights
    text_weights = before[chosen] / inclusion[chosen]
    text_weights /= text_weights.mean()
    part = chosen_texts(whole, chosen.tolist(), name or f"{whole.name}-{method}-{size}")
    return Resampled(
        text_set=replace(part, weights=tuple(text_weights.tolist())),
        chosen=chosen,
        of=len(whole),
        method=method,
        variance_ratio=variance_ratio(q, method, size, shares),
        relative_error=_median(relative_errors(q, chosen, text_weights, shares, documents)),
        relative_error_before=_median(relative_errors(q, every, before, shares, documents)),
        largest_weight=float(text_weights.max()),
    )


def _median(errors: np.ndarray) -> float:
    return float(np.median(errors)) if errors.size else float("nan")


def texts_source(made: ModelMap, store: MlflowClient) -> str | TextSet:
    """What the map's score runs say their texts were read from, or where the store has them."""
    found: set[str] = set()
    for uri in text_sources(_some(made.points["run_id"]), made.text_set, store):
        if os.path.exists(os.path.expanduser(uri)) or uri.startswith(("python-docs", "python-qa")):
            return uri
        found.add(uri)
    for uri in (*sorted(filter(names_stored, found)), made.text_set):
        with suppress(InputError, TrackingError):
            return load_texts(uri)
    said = (
        f"were read from {listed(sorted(found))}, which is not there"
        if found
        else "were not read from a file"
    )
    raise InputError(
        f"The texts of the map {made.run_id} ({made.text_set_name or 'unnamed'}, digest "
        f"{made.text_set[:12]}) {said}; say with --texts (or texts=) where they are now."
    )


def _some(run_ids: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(run_id) for run_id in run_ids))[:_ASKED]


def _check_weights(whole: TextSet, made: ModelMap) -> None:
    """The file must give the weights with which the map was made; their scale may differ."""

    def shares(text_weights: np.ndarray | None) -> np.ndarray:
        own = None if text_weights is None else shares_of(text_weights)
        return np.full(len(whole), 1.0 / len(whole)) if own is None else own

    if not np.allclose(shares(whole.weight_array), shares(made.weights), rtol=1e-9, atol=0.0):
        raise InputError(
            f"The texts {whole.name!r} have other weights than those with which the map "
            f"{made.run_id} was made; give the text set that was scored, with its weights."
        )
