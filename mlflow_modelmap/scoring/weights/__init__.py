"""Scoring (no torch here): weights of checkpoints, read from files."""
