"""Driver: a model map - what it holds, and how it is loaded back from its run."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError, TrackingError
from mlflow_modelmap.numerics.divergence.carried import difference_error, effective_texts
from mlflow_modelmap.numerics.divergence.kl import kl_pairs, kl_with_standard_error
from mlflow_modelmap.numerics.divergence.noise_floor import pair_floor, within_noise
from mlflow_modelmap.numerics.matrix.log_likelihoods import sampling_of, shares_of
from mlflow_modelmap.numerics.matrix.sampling import Sampling
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.runs.selection import vector_in
from mlflow_modelmap.tracking.runs.study_run import StudyRun, load_study, square_of
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened
from mlflow_modelmap.words.vectors import CONDITIONAL

NEAREST = 3
LARGE = 2_000
"""Points above which the run holds no table of all pairs; they follow from the coordinates."""


class Divergence(NamedTuple):
    """A KL divergence and its standard error, in bits/byte."""

    kl: float
    se: float


class Squares(NamedTuple):
    """KL between all points and its standard errors, (K, K), rows and columns named by point."""

    kl: pd.DataFrame
    se: pd.DataFrame


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
        ``pca_1`` to ``pca_3``, ``tsne2_1``, ``tsne2_2`` and, where t-SNE was asked for in three
        dimensions, ``tsne3_1`` to ``tsne3_3``.
    coordinates
        Q, double-centred and scaled, shape (K, N): squared distances are KL in bits/byte.
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
    sampling
        How the texts were sampled, as far as standard errors depend on it; None for a map of an
        earlier version, whose tables hold them.
    squares
        The tables of all pairs, where the run holds them: up to 2,000 points.
    placed
        Of a map that extends another, how well each point that was put on it fits; see
        `drivers.map.extend`. None of others.
    """

    run_id: str
    experiment_id: str
    name: str
    points: pd.DataFrame
    coordinates: np.ndarray
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
    sampling: Sampling | None = None
    squares: Squares | None = None
    placed: pd.DataFrame | None = None

    @property
    def kl(self) -> pd.DataFrame:
        """Bits per byte, (K, K), rows and columns named by point.

        Of more than 2,000 points it is computed once it is asked for: K^2 numbers. `between`,
        `nearest_to` and `closest_pairs` do without.
        """
        return self._squares.kl

    @property
    def kl_standard_error(self) -> pd.DataFrame:
        """Standard errors of `kl`, alike."""
        return self._squares.se

    @cached_property
    def _squares(self) -> Squares:
        if self.squares is not None:
            return self.squares
        names = list(self._row)
        found = kl_with_standard_error(self.coordinates, self.sampling)
        return Squares(*(pd.DataFrame(of, index=names, columns=names) for of in found))

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.points["point"])}

    def _of(self, a: int, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """KL of a point with others, by row, and its standard errors."""
        if self.squares is None:
            return kl_pairs(self.coordinates, a, others, self.sampling)
        kl, se = self.squares
        return kl.to_numpy()[a, others], se.to_numpy()[a, others]

    def between(self, a: str, b: str) -> Divergence:
        """KL divergence between two points, by name, with its standard error."""
        kl, se = self._of(self._known(a), np.array([self._known(b)]))
        return Divergence(float(kl[0]), float(se[0]))

    def nearest_to(self, point: str, count: int = NEAREST) -> pd.DataFrame:
        """The nearest other points: columns ``neighbour``, ``kl``, ``se``."""
        row = self._known(point)
        kl, se = self._of(row, np.arange(len(self.points)))
        order = np.argsort(kl, kind="stable")
        order = order[order != row][:count]
        names = np.array(list(self._row), dtype=object)
        return pd.DataFrame({"neighbour": names[order], "kl": kl[order], "se": se[order]})

    def _closest(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows i < j of the pairs with the smallest KL, their KL and standard errors."""
        if self.squares is None and count <= 2 * NEAREST:
            # A pair that is not among the three nearest of either has six at least as close.
            near = self.nearest
            ends = np.array([[self._row[name] for name in near[of]] for of in _ENDS])
            i, j, kl, se = ends.min(axis=0), ends.max(axis=0), near["kl"], near["se"]
            once = np.unique(i * len(self.points) + j, return_index=True)[1]
            i, j, kl, se = (np.asarray(of)[once] for of in (i, j, kl, se))
        else:
            i, j = np.triu_indices(len(self.points), 1)
            kl, se = (of.to_numpy()[i, j] for of in self._squares)
        order = np.argsort(kl, kind="stable")[:count]
        return i[order], j[order], kl[order], se[order]

    def closest_pairs(self, count: int = 5) -> pd.DataFrame:
        """The pairs with the smallest KL.

        Columns ``point``, ``other``, ``kl``, ``se``, ``noise_floor`` (bits/byte, NaN where it is
        not known), ``within_noise``, ``bits_per_byte``, ``other_bits_per_byte``,
        ``bits_per_byte_difference`` (point less other) and ``bits_per_byte_difference_se`` (see
        `numerics.divergence.carried.difference_error`).
        """
        i, j, kl, se = self._closest(count)
        names = np.array(list(self._row), dtype=object)
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
                "se": se,
                "noise_floor": np.array(floors, dtype=float),
                "within_noise": [within_noise(*of) for of in zip(kl, floors, strict=True)],
                "bits_per_byte": one,
                "other_bits_per_byte": other,
                "bits_per_byte_difference": one - other,
                "bits_per_byte_difference_se": errors,
            }
        )

    def _known(self, point: str) -> int:
        """The row of a point."""
        if point not in self._row:
            near = difflib.get_close_matches(str(point), list(self._row), 3, 0.4)
            near = near or list(self._row)[:3]
            raise InputError(
                f"There is no point {point!r} on this map; there are, among others, {listed(near)}."
            )
        return self._row[point]


_ENDS = ("point", "neighbour")


def load_map(run_id: str) -> ModelMap:
    """What `build_map` logged in a run.

    Raises
    ------
    InputError
        If there is no such run, or it is not a finished map.
    TrackingError
        If one of its artifacts is missing or damaged, or they do not fit each other.
    """
    return read_map(run_id)[0]


def read_map(run_id: str) -> tuple[ModelMap, StudyRun]:
    """As `load_map`, and its run, with what is kept there so that points can be put on the map."""
    read = load_study(
        run_id,
        schema.KIND_MAP,
        tables=("points", "nearest"),
        arrays=("coordinates",),
        optional=(
            "kl",
            "kl_standard_error",
            "placed",
            schema.STUDY_CENTRE,
            schema.STUDY_TEXT_BYTES,
            schema.STUDY_DOCUMENTS,
        ),
    )
    _check_fits(read)
    squares = None
    if {"kl", "kl_standard_error"} <= set(read.tables):
        squares = Squares(*(square_of(read.tables[of]) for of in ("kl", "kl_standard_error")))
    perplexity = read.params.get("modelmap.perplexity_used")
    documents = read.metrics.get("modelmap/documents")
    shares = (read.metrics.get(f"modelmap/explained_{k}") for k in (1, 2, 3))
    made = ModelMap(
        run_id=read.run_id,
        experiment_id=read.experiment_id,
        name=read.name,
        points=read.tables["points"],
        coordinates=read.arrays["coordinates"],
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
        sampling=sampling_in(read),
        squares=squares,
        placed=read.tables.get("placed"),
    )
    return made, read


def _check_fits(read: StudyRun) -> None:
    """Refuse a map whose files are not of the same points and texts."""
    points, q = len(read.tables["points"]), read.arrays["coordinates"]
    of_texts = (schema.STUDY_CENTRE, schema.STUDY_TEXT_BYTES, schema.STUDY_DOCUMENTS)
    wrong = [
        "coordinates" if q.ndim != 2 or len(q) != points else "",
        *(
            name
            for name in ("kl", "kl_standard_error")
            if name in read.tables and read.tables[name].shape != (points, points + 1)
        ),
        *(
            name
            for name in (*of_texts, schema.STUDY_WEIGHTS)
            if name in read.arrays and read.arrays[name].shape != q.shape[1:]
        ),
        *(
            name
            for name in ("entropy_bound", "mean_bytes")
            if f"modelmap/{name}" not in read.metrics
        ),
    ]
    named = [name for name in wrong if name]
    if named:
        raise TrackingError(
            f"Run {read.run_id} ({shortened(read.name, 60)!r}) is damaged: its {named[0]} do not "
            f"fit its {points} points; make the map again."
        )


def sampling_in(read: StudyRun) -> Sampling | None:
    """How the texts of a map were sampled; None where its run does not say."""
    size = read.arrays.get(schema.STUDY_TEXT_BYTES)
    if size is None:
        return None
    weights = read.arrays.get(schema.STUDY_WEIGHTS)
    return sampling_of(
        size,
        None if weights is None else shares_of(weights),
        read.arrays.get(schema.STUDY_DOCUMENTS),
        per_byte=read.params.get("modelmap.per_byte") == "true",
    )
