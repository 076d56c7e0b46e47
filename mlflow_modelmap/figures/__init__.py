"""Figures: data in, a matplotlib or plotly figure out; never torch, never mlflow."""
