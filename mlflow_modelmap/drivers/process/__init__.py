"""Driver: a process at work - its signals and its progress bars."""
