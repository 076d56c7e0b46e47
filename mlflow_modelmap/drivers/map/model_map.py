"""Driver: a model map - what it holds, and how it is loaded back from its run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.carried import difference_error, effective_texts
from mlflow_modelmap.numerics.divergence.noise_floor import pair_floor, within_noise
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.selection import vector_in
from mlflow_modelmap.tracking.runs.study_run import load_study, square_of
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.vectors import CONDITIONAL

NEAREST = 3


class Divergence(NamedTuple):
    """A KL divergence and its standard error, in bits/byte."""

    kl: float
    se: float


@dataclass(frozen=True, eq=False)
class ModelMap:
    """K points on N texts.

    Attributes
    ----------
    run_id, experiment_id, name
        Of the run that holds the map.
    points
        One row a point: ``point`` (its unique name), ``run_id``, ``model``, ``revision``,
        ``commit``, ``trajectory``, ``step``, ``model_type``, ``base_model``, ``precision``,
        ``layer``, ``bits_per_byte``, ``noise_kl``, ``bits_per_byte_se`` and the map's coordinates:
        ``pca_1`` to ``pca_3``, ``tsne2_1``, ``tsne2_2``, ``tsne3_1`` to ``tsne3_3``.
    coordinates
        Q, double-centred and scaled, shape (K, N): squared distances are KL in bits/byte.
    kl, kl_standard_error
        Bits per byte, (K, K), rows and columns named by point.
    nearest
        Columns ``point``, ``rank``, ``neighbour``, ``kl``, ``se``.
    entropy_bound
        The text set's entropy is at most this, in bits/byte.
    explained
        Share of the variance of each principal component.
    perplexity
        Of t-SNE; None where the principal components stand in for it.
    text_set, text_set_name, texts, mean_bytes
        Digest, name, N and B of the text set.
    weights
        Of the texts, shape (N,), or None where they count alike.
    documents
        How many independent units the texts are: documents, and texts without one; None for a map
        of an earlier version.
    notices
        What was left out or done otherwise than asked, a sentence each.
    vector
        Which vectors of the runs it is of: ``conditional``, ``unconditional`` or ``pmi``.
    """

    run_id: str
    experiment_id: str
    name: str
    points: pd.DataFrame
    coordinates: np.ndarray
    kl: pd.DataFrame
    kl_standard_error: pd.DataFrame
    nearest: pd.DataFrame
    entropy_bound: float
    explained: tuple[float, ...]
    perplexity: float | None
    text_set: str
    text_set_name: str | None
    texts: int
    mean_bytes: float
    notices: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    documents: int | None = None
    vector: str = CONDITIONAL

    def between(self, a: str, b: str) -> Divergence:
        """KL divergence between two points, by name, with its standard error."""
        a, b = self._known(a), self._known(b)
        return Divergence(float(self.kl.at[a, b]), float(self.kl_standard_error.at[a, b]))

    def nearest_to(self, point: str, count: int = NEAREST) -> pd.DataFrame:
        """The nearest other points: columns ``neighbour``, ``kl``, ``se``."""
        row = self.kl.loc[self._known(point)].drop(point).sort_values(kind="stable").head(count)
        return pd.DataFrame(
            {
                "neighbour": row.index,
                "kl": row.to_numpy(),
                "se": self.kl_standard_error.loc[point, row.index].to_numpy(),
            }
        )

    def closest_pairs(self, count: int = 5) -> pd.DataFrame:
        """The pairs with the smallest KL.

        Columns ``point``, ``other``, ``kl``, ``se``, ``noise_floor`` (bits/byte, NaN where it is
        not known), ``within_noise``, ``bits_per_byte``, ``other_bits_per_byte``,
        ``bits_per_byte_difference`` (point less other) and ``bits_per_byte_difference_se`` (see
        `numerics.divergence.carried.difference_error`).
        """
        i, j = np.triu_indices(len(self.kl), 1)
        kl = self.kl.to_numpy()[i, j]
        order = np.argsort(kl, kind="stable")[:count]
        names = self.kl.columns.to_numpy()
        i, j, kl = i[order], j[order], kl[order]
        # Maps of earlier versions do not say.
        noise = self.points.get("noise_kl", pd.Series(np.nan, index=self.points.index)).to_numpy()
        floors = [pair_floor(noise[a], noise[b]) for a, b in zip(i, j, strict=True)]
        bits = self.points["bits_per_byte"].to_numpy(dtype=np.float64)
        one, other = bits[i], bits[j]
        worth = effective_texts(self.weights, self.texts)
        worth = min(worth, self.documents or worth)
        errors = difference_error(kl, self.mean_bytes, worth)
        if self.vector != CONDITIONAL:  # the KL of other vectors says nothing of that error
            errors = np.full(len(kl), np.nan)
        return pd.DataFrame(
            {
                "point": names[i],
                "other": names[j],
                "kl": kl,
                "se": self.kl_standard_error.to_numpy()[i, j],
                "noise_floor": np.array(floors, dtype=float),
                "within_noise": [within_noise(*of) for of in zip(kl, floors, strict=True)],
                "bits_per_byte": one,
                "other_bits_per_byte": other,
                "bits_per_byte_difference": one - other,
                "bits_per_byte_difference_se": errors,
            }
        )

    def _known(self, point: str) -> str:
        if point not in self.kl.index:
            near = difflib.get_close_matches(str(point), list(self.kl.index), 3, 0.4)
            near = near or list(self.kl.index[:3])
            raise InputError(
                f"There is no point {point!r} on this map; there are, among others, {listed(near)}."
            )
        return point


def load_map(run_id: str) -> ModelMap:
    """What `build_map` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished map.
    TrackingError
        If one of its artifacts is missing or damaged.
    """
    read = load_study(
        run_id,
        schema.KIND_MAP,
        tables=("points", "kl", "kl_standard_error", "nearest"),
        arrays=("coordinates",),
    )
    perplexity = read.params.get("modelmap.perplexity_used")
    documents = read.metrics.get("modelmap/documents")
    shares = (read.metrics.get(f"modelmap/explained_{k}") for k in (1, 2, 3))
    return ModelMap(
        run_id=read.run_id,
        experiment_id=read.experiment_id,
        name=read.name,
        points=read.tables["points"],
        coordinates=read.arrays["coordinates"],
        kl=square_of(read.tables["kl"]),
        kl_standard_error=square_of(read.tables["kl_standard_error"]),
        nearest=read.tables["nearest"],
        entropy_bound=read.metrics["modelmap/entropy_bound"],
        explained=tuple(share for share in shares if share is not None),
        perplexity=float(perplexity) if perplexity else None,
        text_set=read.tags.get(schema.TAG_TEXT_SET, ""),
        text_set_name=read.tags.get(schema.TAG_TEXT_SET_NAME),
        texts=read.arrays["coordinates"].shape[1],
        mean_bytes=read.metrics["modelmap/mean_bytes"],
        notices=read.notices,
        weights=read.arrays.get(schema.STUDY_WEIGHTS),
        documents=None if documents is None else int(documents),
        vector=vector_in(read.params),
    )
