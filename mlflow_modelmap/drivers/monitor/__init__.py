"""Driver: trainings that are watched while they go on."""
