"""Numerics: claimed and measured trees of models."""
