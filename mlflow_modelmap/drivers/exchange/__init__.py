"""Drivers: vectors from elsewhere become runs, and runs become files."""
