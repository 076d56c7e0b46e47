"""Figures: the model map, its heatmap and its bars."""
