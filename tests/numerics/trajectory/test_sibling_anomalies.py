"""Seeds that end up far from their siblings are found, others left alone."""

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.numerics.trajectory.sibling_anomalies import outlying, sibling_anomalies
from tests.numerics.generated import fbm_paths, squared


def siblings(far, seeds=9, steps=8, seed=0):
    """KL between seeds of one model at each step; those in `far` end up further from all."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((seeds, 300))
    names = [f"m-seed{k}" for k in range(seeds)]
    own = np.where(np.isin(np.arange(seeds), far), 1.6, 1.0)[:, None]
    rows = []
    x = own * (
        start
        + 0.2
        * np.stack(
            [fbm_paths(0.2, np.arange(1, steps), np.ones(300), rng) for _ in range(seeds)], axis=1
        )
    )
    for t in range(steps):
        kl = squared(x[t]) / 5000
        rows += [
            (1000 * t, names[i], names[j], kl[i, j])
            for i in range(seeds)
            for j in range(i + 1, seeds)
        ]
    return pd.DataFrame(rows, columns=["step", "trajectory", "other", "kl"]), names


@pytest.mark.parametrize("seeds", [8, pytest.param(20, marks=pytest.mark.heavy)])
def test_outlying_seeds_are_found_and_others_are_not(seeds):
    found = alarms = 0
    for seed in range(seeds):
        between, names = siblings([2, 3], seed=seed)
        table = sibling_anomalies(between, dict.fromkeys(names, "m"))
        flagged = set(table.loc[table["outlier"], "trajectory"])
        found += {"m-seed2", "m-seed3"} <= flagged
        alarms += len(flagged - {"m-seed2", "m-seed3"})
        clean, names = siblings([], seed=seed)
        alarms += sibling_anomalies(clean, dict.fromkeys(names, "m"))["outlier"].sum()
    assert found == seeds
    assert alarms == 0


def test_one_of_five_siblings_can_be_told():
    between, names = siblings([1], seeds=5)
    table = sibling_anomalies(between, dict.fromkeys(names, "m")).set_index("trajectory")
    assert table.index[table["outlier"]].tolist() == ["m-seed1"]
    assert table["step"].unique().tolist() == [7000]


def test_three_siblings_are_not_judged_since_one_always_lies_apart():
    between, names = siblings([], seeds=3)
    assert sibling_anomalies(between, dict.fromkeys(names, "m")).empty


def test_no_outlier_is_found_by_chance_more_often_than_said():
    """Values of a normal law: one in twenty families at most has an outlier."""
    rng = np.random.default_rng(3)
    for size in (5, 9):
        found = [outlying(rng.standard_normal(size))[1].any() for _ in range(300)]
        # Of 300 at 5 %, more than 27 come once in a thousand times.
        assert sum(found) <= 27


def test_two_outliers_do_not_hide_each_other_and_what_few_texts_carry_is_no_evidence():
    values = np.array([0.0, 0.1, -0.1, 2.0, 0.05, -0.05, 1.9, 0.02, -0.03])
    score, found = outlying(values)
    assert np.flatnonzero(found).tolist() == [3, 6]
    kept = values[~found]
    expected = (2.0 - kept.mean()) / (kept.std(ddof=1) * np.sqrt(1 + 1 / 7))
    assert score[3] == pytest.approx(expected)
    assert not outlying(values, np.full(9, 1.0))[1].any()


def test_families_are_judged_apart_and_small_ones_not_at_all():
    between, names = siblings([2], seeds=7)
    families = {name: "a" if k < 5 else "b" for k, name in enumerate(names)}
    table = sibling_anomalies(between, families)
    assert set(table["family"]) == {"a"}
    assert table.loc[table["outlier"], "trajectory"].tolist() == ["m-seed2"]
    assert sibling_anomalies(between, {names[0]: "a", names[1]: "a"}).empty
