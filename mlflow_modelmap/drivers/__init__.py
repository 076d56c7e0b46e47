"""Drivers: join the rooms; the only place where pure work and MLflow meet."""
