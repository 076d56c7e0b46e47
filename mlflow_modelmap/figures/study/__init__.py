"""Figures: layers, quantised copies and the scale."""
