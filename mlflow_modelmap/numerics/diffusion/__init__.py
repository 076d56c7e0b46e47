"""Numerics: diffusion exponents."""
