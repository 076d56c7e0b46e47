"""Driver: what the server page shows."""
