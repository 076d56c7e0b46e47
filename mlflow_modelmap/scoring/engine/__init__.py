"""Scoring: log-likelihoods from a model in memory."""
