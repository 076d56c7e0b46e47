"""Seeds that end up far from their siblings are found, others left alone."""

import numpy as np
import pandas as pd

from mlflow_modelmap.numerics.trajectory.sibling_anomalies import sibling_anomalies
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


def test_outlying_seeds_are_found_and_others_are_not():
    found = alarms = 0
    for seed in range(20):
        between, names = siblings([2, 3], seed=seed)
        table = sibling_anomalies(between, dict.fromkeys(names, "m"))
        flagged = set(table.loc[table["outlier"], "trajectory"])
        found += {"m-seed2", "m-seed3"} <= flagged
        alarms += len(flagged - {"m-seed2", "m-seed3"})
        clean, names = siblings([], seed=seed)
        alarms += sibling_anomalies(clean, dict.fromkeys(names, "m"))["outlier"].sum()
    assert found == 20
    assert alarms == 0


def test_one_of_three_siblings_can_be_told():
    between, names = siblings([1], seeds=3)
    table = sibling_anomalies(between, dict.fromkeys(names, "m")).set_index("trajectory")
    assert table["outlier"].to_dict() == {"m-seed0": False, "m-seed1": True, "m-seed2": False}
    assert table["step"].unique().tolist() == [7000]


def test_families_are_judged_apart_and_small_ones_not_at_all():
    between, names = siblings([2], seeds=5)
    families = {name: "a" if k < 4 else "b" for k, name in enumerate(names)}
    table = sibling_anomalies(between, families)
    assert set(table["family"]) == {"a"}
    assert table.loc[table["outlier"], "trajectory"].tolist() == ["m-seed2"]
    assert sibling_anomalies(between, {names[0]: "a", names[1]: "a"}).empty
