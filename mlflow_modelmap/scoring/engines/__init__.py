"""Scoring: engines other than transformers, held to the same proof."""
