"""Driver: the release gate."""
