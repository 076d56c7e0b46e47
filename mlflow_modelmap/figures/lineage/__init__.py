"""Figures: parents and children."""
