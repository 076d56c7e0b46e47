"""Tracking: runs, written and read."""
