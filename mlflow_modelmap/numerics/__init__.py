"""Numerics: numpy, scipy and scikit-learn only; never torch, never mlflow."""
