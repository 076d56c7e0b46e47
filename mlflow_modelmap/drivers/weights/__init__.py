"""Driver: distances between the weights of checkpoints."""
