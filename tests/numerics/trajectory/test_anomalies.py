"""Planted faults are found, clean trajectories left alone, at the rates that the docs state."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.trajectory.anomalies import (
    checkpoint_anomalies,
    continuity,
    growth_exponent,
    tail_threshold,
)
from tests.numerics.generated import squared, squared_table, training


def with_fault(x, at, times, seed=0, length=1):
    """Checkpoints displaced by so many times the usual squared distance in a random direction."""
    direction = np.random.default_rng(seed).standard_normal(x.shape[1])
    size = times * np.sum((x[at] - x[at - 1]) ** 2)
    x = x.copy()
    x[at : at + length] += direction * np.sqrt(size / (direction @ direction))
    return x


@pytest.mark.parametrize("seeds", [20, pytest.param(40, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("exponent", [0.2, 1.0])
def test_clean_trajectories_raise_no_alarm_and_faults_are_found(exponent, seeds):
    alarms = found = others = 0
    for seed in range(seeds):
        steps, x = training(exponent, 100, 150, seed, missing=0.03)
        alarms += len(checkpoint_anomalies(steps, squared(x), 2000))
        at = 3 + seed * 2
        table = checkpoint_anomalies(steps, squared(with_fault(x, at, 5, seed)), 2000)
        hit = (table["kind"] == "checkpoint") & (table["step"] == steps[at])
        found += hit.any()
        others += (~hit).sum()
    assert alarms == 0
    assert found >= seeds - 1
    assert others <= 1


def test_a_fault_comes_with_its_evidence():
    steps, x = training(1.0, 60, 300)
    x = with_fault(x, 30, 20)
    distances = squared(x)
    (row,) = checkpoint_anomalies(steps, distances, 2000).to_dict("records")
    assert (row["kind"], row["step"], row["step_last"]) == ("checkpoint", steps[30], steps[30])
    assert (row["step_before"], row["step_after"]) == (steps[29], steps[31])
    assert row["before"] == distances[29, 30]
    assert row["after"] == distances[30, 31]
    assert row["across"] == distances[29, 31]
    assert row["times_trend"] == pytest.approx(21, rel=0.25)


def test_a_spike_over_three_checkpoints_is_one_anomaly():
    steps, x = training(0.2, 60, 300)
    table = checkpoint_anomalies(steps, squared(with_fault(x, 30, 20, length=3)), 2000)
    assert table[["kind", "step", "step_last"]].values.tolist() == [["spike", steps[30], steps[32]]]


def test_what_is_not_taken_back_is_a_jump():
    steps, x = training(0.2, 60, 300)
    table = checkpoint_anomalies(steps, squared(with_fault(x, 30, 20, length=99)), 2000)
    assert table[["kind", "step"]].values.tolist() == [["jump", steps[30]]]


def test_a_fault_of_the_last_checkpoint_can_only_be_a_jump():
    steps, x = training(0.2, 60, 300)
    (row,) = checkpoint_anomalies(steps, squared(with_fault(x, 59, 20)), 2000).to_dict("records")
    assert (row["kind"], row["step"]) == ("jump", steps[59])
    assert np.isnan(row["after"])


def test_an_identical_checkpoint_is_said_to_be_one():
    steps, x = training(0.2, 60, 300)
    x[20] = x[19]
    table = checkpoint_anomalies(steps, squared_table(x), 2000)
    assert table.iloc[0][["kind", "step", "step_before"]].tolist() == [
        "identical",
        steps[20],
        steps[19],
    ]


def test_faults_in_warm_up_are_not_judged():
    steps, x = training(0.2, 60, 300)
    assert checkpoint_anomalies(steps, squared(with_fault(x, 3, 20)), 10_000).empty


def test_missing_checkpoints_are_expected_to_lie_further_apart():
    steps, x = training(1.0, 60, 1000, fast_start=False)
    keep = np.ones(60, dtype=bool)
    keep[[20, 21, 22, 40]] = False
    table = continuity(steps[keep], squared(x[keep]))
    gap = (table["step"] - table["step_from"]).to_numpy()
    usual = table["trend"].to_numpy()[gap == 1000].mean()
    np.testing.assert_allclose(table["trend"].to_numpy()[gap == 4000], 4 * usual, rtol=0.2)
    np.testing.assert_allclose(table["trend"].to_numpy()[gap == 2000], 2 * usual, rtol=0.2)
    assert checkpoint_anomalies(steps[keep], squared(x[keep])).empty


@pytest.mark.parametrize("exponent", [0.2, 1.0])
def test_growth_is_the_exponent_between_near_checkpoints(exponent):
    steps, x = training(exponent, 60, 1000, fast_start=False)
    assert growth_exponent(steps, squared(x)) == pytest.approx(exponent, abs=0.05)


def test_distances_known_in_a_window_only_are_enough():
    steps, x = training(1.0, 60, 300)
    table = squared(with_fault(x, 30, 20))
    far = np.abs(steps[:, None] - steps) > 4000
    table[far] = np.nan
    found = checkpoint_anomalies(steps, table, 2000)
    assert found[["kind", "step"]].values.tolist() == [["checkpoint", steps[30]]]


def test_too_few_checkpoints_are_not_judged():
    steps, x = training(0.2, 7, 300)
    assert continuity(steps, squared(x)).empty
    assert checkpoint_anomalies(steps, squared(x)).empty


def test_distances_must_fit_the_steps():
    with pytest.raises(InputError, match=r"Distances of shape \(3, 3\) do not fit 2 steps"):
        checkpoint_anomalies([0, 1], np.zeros((3, 3)))


def test_the_trend_is_a_repeated_median_line_through_the_nearest_logs():
    steps, x = training(0.2, 40, 30, seed=5)
    table = squared(with_fault(x, 20, 9))
    found = continuity(steps, table)
    gap = np.diff(steps)
    shift = growth_exponent(steps, table) * np.log(gap / np.median(gap))
    y = np.log(np.diagonal(table, 1)) - shift
    t = np.log((steps[:-1] + steps[1:]) / 2)
    for k in range(len(t)):
        start = min(max(k - 5, 0), len(t) - 11)
        near = range(start, start + 11)
        slope = np.median(
            [np.median([(y[a] - y[b]) / (t[a] - t[b]) for b in near if b != a]) for a in near]
        )
        level = np.median([y[a] - slope * (t[a] - t[k]) for a in near])
        assert found["trend"][k] == pytest.approx(np.exp(level + shift[k]), rel=1e-9)


def heavy_walk(checkpoints, rng, texts=200):
    """A random walk whose steps have the kurtosis 58 on every text: some texts move far at once."""
    spread = np.sqrt(np.log(58) / 4)
    steps = np.exp(spread * rng.standard_normal((checkpoints - 1, texts)))
    steps *= rng.choice([-1.0, 1.0], steps.shape)
    return np.vstack([np.zeros(texts), np.cumsum(steps, axis=0)])


def test_heavy_tailed_steps_raise_hardly_an_alarm():
    """Six robust deviations alone are passed by one of five such trajectories, and more."""
    steps = 2000 + 1000 * np.arange(142)
    rng = np.random.default_rng(1)
    alarms = above_six = 0
    for _ in range(40):
        table = squared(heavy_walk(142, rng))
        alarms += len(checkpoint_anomalies(steps, table)) > 0
        scores = continuity(steps, table)
        far = scores["distance"] > 2 * scores["trend"]
        above_six += (far & (scores["score"] >= 6)).any()
    # Of 40 at 2 %, more than 4 come once in a thousand times.
    assert alarms <= 4
    assert above_six >= 5


@pytest.mark.parametrize("together", [1, 2])
def test_the_threshold_of_an_exponential_tail_holds_its_chance(together):
    """Residuals that are exponential: one family in a hundred has one (or two neighbours) above."""
    rng = np.random.default_rng(2)
    passed = 0
    for _ in range(1000):
        residuals = rng.exponential(size=141)
        above = residuals > tail_threshold(residuals, side_by_side=together)
        passed += above.any() if together == 1 else (above[1:] & above[:-1]).any()
    # Of 1,000 at 1 %, more than 22 or fewer than 2 come once in a thousand times.
    assert 2 <= passed <= 22


def test_six_faults_do_not_hide_each_other():
    steps, x = training(0.5, 142, 100)
    at = [20, 40, 60, 80, 100, 120]
    for k in at:
        x = with_fault(x, k, 10, k)
    table = checkpoint_anomalies(steps, squared(x), 2000)
    assert table["step"].tolist() == steps[at].tolist()
    assert set(table["kind"]) == {"checkpoint"}
    assert (table["score"] >= table["threshold"]).all()
    assert (table["threshold"] >= 6).all()
