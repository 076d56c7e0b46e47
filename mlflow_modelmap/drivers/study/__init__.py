"""Driver: what all studies of scored runs share, and the small ones."""
