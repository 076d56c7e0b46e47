"""Numerics: points ordered by training step."""
