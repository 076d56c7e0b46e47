"""Driver: how a study of trajectories depends on its texts - the worst, halves, domains, others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.drivers.trajectory.study import TrajectoryStudy
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.divergence.kl import kl_matrix
from mlflow_modelmap.numerics.matrix.coordinates import coordinates
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix
from mlflow_modelmap.numerics.preprocessing.clipping import clip_bottom
from mlflow_modelmap.numerics.preprocessing.preprocess import Preprocessed, without_points
from mlflow_modelmap.numerics.preprocessing.robustness import (
    REMOVED,
    between_halves,
    correlation,
    kl_after_removing,
    kl_by_domain,
)
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.reason import reason

EXCERPT = 160
LISTED = 100


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
        notices.append(f"The halves of the texts were not compared: {reason(error)}.")
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


def text_tables(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    done: Preprocessed,
    text_set: TextSet | None,
    splits: int,
    seed: int,
    notices: list[str],
) -> dict[str, pd.DataFrame]:
    """What depends on the choice of texts: Figure 13, halves, domains."""
    tables = {}
    if done.scores is not None:
        clipped, kept = without_points(matrix, given, done.left_out)
        if done.clip_value is not None:
            clipped = replace(clipped, values=np.maximum(clipped.values, done.clip_value))
        # The paper's numbers, of its 10,000 texts.
        shares = {round(count * done.kept.size / 10_000) for count in REMOVED}
        late = int(10_000 / 143_000 * max(int(t.steps[-1]) for t in kept))
        tables["kl_after_removing"] = kl_after_removing(
            clipped,
            kept,
            done.scores.maximum,
            removed=sorted({0, int(done.dropped.size), *shares}),
            from_step=max(done.warm_up, late),
        )
    split = halves(done, splits, seed, notices)
    if split is not None:
        tables["halves"] = split
    if text_set is not None and text_set.domains is not None:
        tables["domains"] = by_domain(done, text_set)
    return tables


def with_other_texts(
    study: TrajectoryStudy,
    done: Preprocessed,
    points: Sequence[Point],
    experiments: Iterable[str],
    other_filter: str | None,
    notices: list[str],
) -> TrajectoryStudy:
    """With the correlation to the same checkpoints on another text set, if a filter finds them."""
    if not other_filter:
        return study
    other = select(experiments, other_filter)
    read = other.matrix()
    notices += other.notices
    value, both = text_set_correlation(done, points, *read)
    settings = {**study.settings, "other_text_set": other.runs[0].text_set}
    settings |= {"other_text_set.correlation": value, "other_text_set.checkpoints": both}
    return replace(study, settings=settings)
