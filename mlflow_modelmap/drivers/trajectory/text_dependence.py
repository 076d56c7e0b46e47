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
from mlflow_modelmap.numerics.preprocessing.irregular_texts import consecutive
from mlflow_modelmap.numerics.preprocessing.preprocess import (
    Preprocessed,
    preprocess,
    without_points,
)
from mlflow_modelmap.numerics.preprocessing.robustness import (
    REMOVED,
    Clean,
    between_halves,
    correlation,
    half_texts,
    kl_after_removing,
    kl_by_domain,
)
from mlflow_modelmap.numerics.trajectory.trajectories import Trajectory
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.vectors import CONDITIONAL

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


def halves(
    matrix: LogLikelihoodMatrix,
    given: Sequence[Trajectory],
    done: Preprocessed,
    splits: int,
    seed: int,
    notices: list[str],
) -> pd.DataFrame | None:
    """Correlation of all KL after warm-up between random halves of the texts (Appendix C).

    The halves are made of all texts, and each is clipped and freed of its irregular texts alone.

    Parameters
    ----------
    matrix, given
        As they were before `done` was made of them.
    """
    try:
        return between_halves(matrix, splits, seed, _cleaning(given, done))
    except InputError as error:
        notices.append(f"The halves of the texts were not compared: {reason(error)}.")
        return None


def _cleaning(given: Sequence[Trajectory], done: Preprocessed) -> Clean:
    """What was done to all texts, done to a part of them; only checkpoints after warm-up stay."""

    def clean(part: LogLikelihoodMatrix) -> LogLikelihoodMatrix:
        cleaned = preprocess(
            part,
            given,
            leave_out=done.left_out,
            clip=done.clip,
            drop_texts=done.drop_texts,
            warm_up=done.warm_up,
        )
        return cleaned.matrix.keep_points(after_warm_up(cleaned))

    return clean


def one_split(
    matrix: LogLikelihoodMatrix, given: Sequence[Trajectory], done: Preprocessed, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """KL of all pairs after warm-up on the first division into halves, and its correlation."""
    clean = _cleaning(given, done)
    parts = [clean(matrix.keep_texts(part)) for part in half_texts(matrix.values.shape[1], seed)]
    first, second = (kl_matrix(coordinates(part)) for part in parts)
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

    Checkpoints are matched by trajectory and step. The other text set is clipped and freed of its
    irregular texts as the first was, by what the same checkpoints have on it.

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
    wanted = {(p.trajectory, p.step) for p in points}
    same = [k for k, p in enumerate(other_points) if (p.trajectory, p.step) in wanted]
    other = other.keep_points(np.array(same, dtype=np.intp))
    other_points = [other_points[k] for k in same]
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
    given = _trajectories_of(other_points)
    late_pairs = consecutive(given, done.warm_up)[0].size
    cleaned = preprocess(
        other,
        given,
        clip=done.clip,
        drop_texts=done.drop_texts if late_pairs else None,
        warm_up=done.warm_up,
    )
    first = kl_matrix(coordinates(done.matrix.keep_points(own)))
    second = kl_matrix(coordinates(cleaned.matrix.keep_points(others)))
    return correlation(first, second), len(pairs)


def _trajectories_of(points: Sequence[Point]) -> list[Trajectory]:
    """Those of points that all have a trajectory and a step, single checkpoints too."""
    rows: dict[str, dict[int, int]] = {}
    for k, p in enumerate(points):
        rows.setdefault(str(p.trajectory), {}).setdefault(int(p.step or 0), k)
    return [
        Trajectory(name, np.array(sorted(own)), np.array([own[step] for step in sorted(own)]))
        for name, own in rows.items()
    ]


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
    split = halves(matrix, given, done, splits, seed, notices)
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
    vector: str = CONDITIONAL,
) -> TrajectoryStudy:
    """With the correlation to the same checkpoints on another text set, if a filter finds them."""
    if not other_filter:
        return study
    other = select(experiments, other_filter, vector=vector)
    read = other.matrix()
    notices += other.notices
    value, both = text_set_correlation(done, points, *read)
    settings = {**study.settings, "other_text_set": other.runs[0].text_set}
    settings |= {"other_text_set.correlation": value, "other_text_set.checkpoints": both}
    return replace(study, settings=settings)
