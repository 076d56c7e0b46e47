"""Driver: evaluations by MLflow."""
