"""Numerics: the log-likelihood matrix and bits per byte."""
