"""Numerics: KL divergence and its errors."""
