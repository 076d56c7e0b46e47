"""Numerics: the paper's scale and one's own."""
