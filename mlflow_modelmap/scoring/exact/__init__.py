"""Scoring: KL divergence between the next-token distributions of two models, token by token."""
