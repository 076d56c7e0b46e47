"""Driver: two models compared."""
