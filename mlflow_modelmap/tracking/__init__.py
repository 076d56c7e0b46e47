"""Tracking: mlflow, the run schema, reading and writing runs, the registry; never torch."""
