"""Figures: trainings along their steps."""
