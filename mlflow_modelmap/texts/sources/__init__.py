"""Texts: where texts come from."""
