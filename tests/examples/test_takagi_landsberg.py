"""The folding example: a map of known Hoelder exponent is recovered by the package's estimators."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "takagi_landsberg.py"


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLE.parent))
    try:
        import takagi_landsberg

        yield takagi_landsberg
    finally:
        sys.path.remove(str(EXAMPLE.parent))


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75])
def test_the_hoelder_exponent_is_recovered_within_its_interval(example, alpha):
    c_w, c_q, found = example.recover(alpha, seed=1)
    assert c_w.low <= 1.0 <= c_w.high
    assert found.low <= alpha <= found.high
    assert found.high - found.low < 0.25
    assert c_q.value == pytest.approx(alpha, abs=0.1)


def test_folding_is_hoelder_and_not_smoother(example):
    """Halving the distance in weights divides that in q by 2^alpha, not by 2."""
    import numpy as np

    w = np.zeros((3, 50))
    w[1] = np.random.default_rng(0).standard_normal(50) * 1e-2
    w[2] = w[1] / 2
    q = example.folding(w, 0.5, 4000)
    ratio = np.linalg.norm(q[1] - q[0]) / np.linalg.norm(q[2] - q[0])
    assert ratio == pytest.approx(2**0.5, rel=0.05)


def test_the_command_prints_a_table():
    command = [sys.executable, str(EXAMPLE), "--alpha", "0.5", "--checkpoints", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert len(done.stdout.splitlines()) == 2
    wrong = subprocess.run([*command, "--alpha", "2"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "between 0.05 and 0.95" in wrong.stderr
