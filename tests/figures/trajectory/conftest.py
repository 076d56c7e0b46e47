"""Several trainings in few dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.figures.trajectory.kl import line_colours
from tests.figures.trajectory.generated import ODD, STEPS


@pytest.fixture
def several():
    """Two trainings of 20 checkpoints each: their points, rows, steps and colours."""
    points = np.random.default_rng(2).standard_normal((40, 12))
    rows = {ODD[0]: np.arange(20), ODD[1]: np.arange(20, 40)}
    return points, rows, dict.fromkeys(ODD, STEPS[:20]), line_colours(ODD)
