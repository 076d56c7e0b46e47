"""Tracking: models that MLflow keeps."""
