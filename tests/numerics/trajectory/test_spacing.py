"""The usual spacing of checkpoints, and where warm-up ends."""

from mlflow_modelmap.numerics.trajectory.spacing import (
    default_warm_up,
    most_common_gap,
    usual_spacing,
)
from mlflow_modelmap.numerics.trajectory.trajectories import trajectories

PYTHIA = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 143_001, 1000)]


def one(steps):
    return trajectories(["a"] * len(steps), steps, [f"p{s}" for s in steps])


def test_warm_up_of_pythia_is_the_papers():
    given = one(PYTHIA)
    assert usual_spacing(given) == 1000
    assert default_warm_up(given) == 2000
    missing = one([s for s in PYTHIA if s not in (111_000, 112_000)])
    assert default_warm_up(missing) == 2000


def test_warm_up_waits_for_the_usual_spacing():
    given = one([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(640, 1025, 128)])
    assert usual_spacing(given) == 128
    assert default_warm_up(given) == 128
    assert default_warm_up(one([0, 100, 200, 300])) == 5


def test_of_equally_common_gaps_the_largest_is_usual():
    assert most_common_gap([1, 1, 5, 5, 3]) == 5
    assert most_common_gap([7]) == 7
