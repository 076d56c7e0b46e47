"""Driver: the model map."""
