"""Driver: a plan given out to processes, a Ray cluster or Slurm jobs, and what comes back."""
