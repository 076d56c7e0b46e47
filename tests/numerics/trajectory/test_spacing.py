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


def test_a_gap_later_on_is_no_warm_up():
    """A last checkpoint at the very end, or one more after a resume, hides no training."""
    assert default_warm_up(one([*range(0, 10_001, 500), 10_337])) == 145
    resumed = sorted([*range(0, 143_001, 1000), 71_234])
    assert default_warm_up(one(resumed)) == 2000
    assert default_warm_up(one([s for s in PYTHIA if s != 143_000] + [142_700])) == 1996


def test_a_training_of_no_spacing_hides_nobody_s_checkpoints():
    """Its last gap was taken for its spacing, and with that all before it for warm-up."""
    assert default_warm_up(one([1, 2, 4, 8, 16, 32])) == 1
    for sparse in ([0, 71_000, 143_000], [1000, 3000, 10_000, 30_000, 100_000, 143_000]):
        steps = [*PYTHIA, *sparse]
        names = ["a"] * len(PYTHIA) + ["b"] * len(sparse)
        both = trajectories(names, steps, [f"p{k}" for k in range(len(steps))])
        assert default_warm_up(both) == 2000


def test_a_spacing_that_was_rounded_to_whole_steps_is_one():
    for each in (312.75, 312.8, 20.4):
        steps = [round(k * each) for k in range(60)]
        assert default_warm_up(one(steps)) == -(-2 * steps[-1] // 143)
    assert default_warm_up(one([0, 1, 2, 3, 5, 7, 9, 11, 13, 15, 17])) == 3


def test_powers_of_two_are_no_rounded_spacing():
    powers = [0, *(2**k for k in range(10))]
    assert default_warm_up(one([*powers, *range(1000, 20_001, 1000)])) == 1000
    assert default_warm_up(one([*powers, *range(1000, 10_001, 500)])) == 1000
    assert default_warm_up(one([*powers[:9], *range(400, 5001, 200)])) == 400


def test_trainings_of_other_spacings_each_have_their_own():
    names = ["a"] * 21 + ["b"] * 34
    steps = [*range(0, 10_001, 500), *range(0, 9_901, 300)]
    both = trajectories(names, steps, [f"p{k}" for k in range(len(steps))])
    assert default_warm_up(both) == 140
