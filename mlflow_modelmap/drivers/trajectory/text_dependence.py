"""Driver: how a study of trajectories depends on its texts - the worst, halves, domains, others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.clipping import clip_bottom
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed
from mlflow_modelmap.numerics.preprocessing.robustness import (
    between_halves,
    correlation,
    kl_by_domain,
)
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.select_runs import Point

EXCERPT = 160
LISTED = 100


class _OnTexts(Protocol):
    """A score run or a map: something that was made on one text set."""

    @property
    def text_set(self) -> str: ...
    @property
    def text_set_name(self) -> str | None: ...


def read_texts_of(given: str | os.PathLike[str] | TextSet, point: _OnTexts) -> TextSet:
    """The text set, which must be the one that was scored.

    Raises
    ------
    InputError
        If it is another one; both digests are named.
    """
    text_set = given if isinstance(given, TextSet) else read_texts(given, allow_duplicates=True)
    if text_set.digest != point.text_set:
        raise InputError(
            f"The texts {text_set.name!r} (digest {text_set.digest[:12]}) are not those that were "
            f"scored ({point.text_set_name or 'unnamed'}, digest {point.text_set[:12]}); give the "
            "same texts in the same order."
        )
    return text_set


def worst_texts(table: pd.DataFrame, text_set: TextSet | None) -> pd.DataFrame:
    """The dropped texts, and the worst 100 in any case; readable where the texts are at hand."""
    count = max(int(table["dropped"].sum()), min(LISTED, len(table)))
    worst = table.head(count).reset_index(drop=True)
    if text_set is None:
        return worst
    texts = [text_set.texts[int(number)] for number in worst["text"]]
    worst["excerpt"] = [" ".join(text.split())[:EXCERPT] for text in texts]
    if text_set.domains is not None:
        worst["domain"] = [text_set.domains[int(number)] for number in worst["text"]]
    return worst


def after_warm_up(done: Preprocessed) -> np.ndarray:
    """Rows of the checkpoints after warm-up."""
    return np.concatenate([t.rows[t.steps >= done.warm_up] for t in done.trajectories])


def halves(done: Preprocessed, splits: int, seed: int, notices: list[str]) -> pd.DataFrame | None:
    """Correlation of all KL after warm-up between random halves of the texts (Appendix C)."""
    try:
        return between_halves(done.matrix.keep_points(after_warm_up(done)), splits, seed)
    except InputError as error:
        notices.append(f"The halves of the texts were not compared: {error}")
        return None


def one_split(done: Preprocessed, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """KL of all pairs after warm-up on the first division into halves, and its correlation."""
    late = done.matrix.keep_points(after_warm_up(done))
    texts = late.values.shape[1]
    order = np.random.default_rng(seed).permutation(texts)
    parts = (np.sort(order[: texts // 2]), np.sort(order[texts // 2 :]))
    first, second = (kl_matrix(coordinates(late.keep_texts(part))) for part in parts)
    above = np.triu_indices(len(first), 1)
    return first[above], second[above], correlation(first, second)


def by_domain(done: Preprocessed, text_set: TextSet) -> pd.DataFrame:
    """KL from the checkpoint before on each domain's kept texts.

    Columns ``trajectory``, ``step_from``, ``step``, ``domain``, ``texts``, ``kl``, ``se``.
    """
    assert text_set.domains is not None
    domains = np.asarray(text_set.domains, dtype=object)[done.kept]
    pairs = pd.concat(
        [
            pd.DataFrame(
                {
                    "trajectory": t.name,
                    "step_from": t.steps[:-1],
                    "step": t.steps[1:],
                    "i": t.rows[:-1],
                    "j": t.rows[1:],
                }
            )
            for t in done.trajectories
        ],
        ignore_index=True,
    )
    found = kl_by_domain(done.matrix, domains.tolist(), pairs["i"], pairs["j"])
    where = pairs.drop(columns=["i", "j"]).iloc[found["pair"].to_numpy(dtype=int)]
    return pd.concat(
        [where.reset_index(drop=True), found.drop(columns="pair")],
        axis=1,
    )


def text_set_correlation(
    done: Preprocessed,
    points: Sequence[Point],
    other: LogLikelihoodMatrix,
    other_points: Sequence[Point],
) -> tuple[float, int]:
    """Correlation of all KL after warm-up with those on another text set, and of how many.

    Checkpoints are matched by trajectory and step.

    Raises
    ------
    InputError
        If the other runs were scored on the same texts, or fewer than three match.
    """
    if other_points[0].text_set == points[0].text_set:
        raise InputError(
            f"The runs to compare with were scored on the same text set "
            f"({points[0].text_set[:12]}); choose those of another one with the filter."
        )
    there = {(p.trajectory, p.step): k for k, p in enumerate(other_points)}
    late = set(after_warm_up(done).tolist())
    pairs = [
        (k, there[p.trajectory, p.step])
        for k, p in enumerate(points)
        if k in late and (p.trajectory, p.step) in there
    ]
    if len(pairs) < 3:
        raise InputError(
            f"{len(pairs)} checkpoints after warm-up were scored on both text sets; three or more "
            "are needed."
        )
    own, others = (np.array(rows, dtype=np.intp) for rows in zip(*pairs, strict=True))
    if done.clip_value is not None:
        other, _, _ = clip_bottom(other, done.clip or 0.0)
    first = kl_matrix(coordinates(done.matrix.keep_points(own)))
    second = kl_matrix(coordinates(other.keep_points(others)))
    return correlation(first, second), len(pairs)
