"""Scoring: how a processor multiplies matrices: which library, which rounding."""
