"""Scoring: texts to tokens."""
