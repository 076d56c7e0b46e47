"""Scoring: models behind a server."""
