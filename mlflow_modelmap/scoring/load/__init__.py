"""Scoring: a model into memory, in which precision."""
