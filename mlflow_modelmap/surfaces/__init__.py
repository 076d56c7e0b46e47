"""Surfaces: thin ways in (command line, MLflow plugin entry points, callbacks); no logic."""
