"""Numerics: exact token-level divergences summed up, with their errors."""
