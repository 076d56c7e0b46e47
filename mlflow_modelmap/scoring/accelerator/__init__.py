"""Scoring: what an accelerator (CUDA, mps) needs and a processor does not."""
