"""Numerics: limits, and what is decided of them."""
