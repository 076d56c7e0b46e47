"""Driver: trainings along their steps."""
