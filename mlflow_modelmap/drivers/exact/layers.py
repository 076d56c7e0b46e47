"""Driver: layers of scored models against their last one, exactly; each model is run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.exact import ExactOptions
from mlflow_modelmap.drivers.exact.measure import (
    choose,
    chosen_documents,
    chosen_tokens,
    model_in_memory,
)
from mlflow_modelmap.drivers.exact.scored_model import model_behind, texts_behind
from mlflow_modelmap.drivers.process.progress import progress_bar
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.numerics.exact.summary import known_ratio
from mlflow_modelmap.tracking.runs.point import Point

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.exact.layers import LayerDivergences

_VALUES = ("forward", "reverse", "js", "top1")
COLUMNS = (
    "model",
    "model_type",
    "layer",
    *(column for name in _VALUES for column in (name, f"{name}_se")),
    "texts",
    "tokens",
)


def exact_layers(
    points: Sequence[Point],
    names: Mapping[str, str],
    store: MlflowClient,
    options: ExactOptions | None = None,
    *,
    notices: list[str],
    progress: bool = True,
) -> pd.DataFrame:
    """Compare each layer of some scored models with the last one, token by token.

    Parameters
    ----------
    points
        The models' score runs, all of the same texts.
    names
        What each is called, by run id.
    notices
        Gets a sentence for each model that cannot be run again.

    Returns
    -------
    DataFrame
        ``model``, ``model_type``, ``layer`` (those below the last), ``forward`` =
        KL(last || layer), ``reverse``, ``js`` (bits/byte), ``top1`` (share of tokens at which both
        find the same token likeliest), each with ``..._se``, ``texts``, ``tokens``.

    Raises
    ------
    InputError
        If the texts are not there any more, or no model can be run again.
    """
    options = options or ExactOptions()
    texts = texts_behind(points[0], store, options.texts)
    cache, failed, rows = TokenCache(), [], []
    for point in points:
        name = names[point.run_id]
        try:
            prepared = model_behind(
                replace(point, layer=None),
                texts,
                store,
                device=options.device,
                device_map=options.device_map,
                trust_remote_code=options.trusts(point),
            )
            about = {"model": name, "model_type": point.model_type}
            rows += [about | row for row in _measured(prepared, name, options, cache, progress)]
        except (InputError, ScoringError) as error:
            failed.append(f"{name!r} has no exact comparison: {error}")
    if not rows:
        raise InputError(f"No model's layers could be compared exactly ({' '.join(failed)}).")
    notices += failed
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measured(
    prepared: Prepared, name: str, options: ExactOptions, cache: TokenCache, progress: bool
) -> list[dict[str, Any]]:
    from mlflow_modelmap.scoring.exact.layers import compare_layers

    every = cache.tokens_for(prepared)
    chosen = choose(every.scored, 0, options.count)  # nothing is kept, so that all texts fit
    tokens = chosen_tokens(cache, prepared, chosen)
    settings = prepared.request.settings
    with model_in_memory(prepared.files, settings) as (model, precision):
        with progress_bar(f"{name}, layers", progress) as bar:
            found = compare_layers(model, tokens, settings, precision=precision, progress=bar)
        del model
    return _summed_up(found, prepared, chosen)


def _summed_up(
    found: LayerDivergences, prepared: Prepared, chosen: np.ndarray
) -> list[dict[str, Any]]:
    """A row a layer: sums of texts over their bytes or tokens, with errors by document."""
    texts = prepared.texts
    weights = None if texts.weight_array is None else texts.weight_array[chosen]
    documents = chosen_documents(texts, chosen)
    bits = found.bytes * np.log(2.0)
    sums = {
        "forward": (found.forward, bits),
        "reverse": (found.reverse, bits),
        "js": (found.js, bits),
        "top1": (found.agree, found.tokens),
    }
    rows = []
    for layer in range(len(found.forward)):
        row: dict[str, Any] = {"layer": layer}
        for name, (above, below) in sums.items():
            row[name], row[f"{name}_se"] = known_ratio(above[layer], below, weights, documents)
        rows.append(row | {"texts": len(chosen), "tokens": int(found.tokens.sum())})
    return rows
