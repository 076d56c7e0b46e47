"""Numerics: where points lie among each other."""
