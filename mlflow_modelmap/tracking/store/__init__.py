"""Tracking: the MLflow store itself."""
