"""What another process does with what it is handed; it imports no more than that needs."""

from __future__ import annotations

import sys

from mlflow_modelmap.drivers.score.vector import Ready, vector
from mlflow_modelmap.scoring.settings import ScoreResult


def scored_elsewhere(ready: Ready) -> tuple[ScoreResult, bool]:
    """Its vector, and whether MLflow was needed for it."""
    return vector(ready), "mlflow" in sys.modules
