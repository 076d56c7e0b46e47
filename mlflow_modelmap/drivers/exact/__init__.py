"""Driver: exact KL divergence between models that share a vocabulary."""
