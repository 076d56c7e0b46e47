"""Numerics: which texts count, and how much depends on them."""
