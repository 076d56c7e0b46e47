"""Driver: what killed work left behind."""
