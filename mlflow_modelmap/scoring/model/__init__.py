"""Scoring (no torch here): which model is meant, and where its files are."""
