"""Driver: parents and children."""
