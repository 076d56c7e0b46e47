"""Driver: one model on one text set, and sweeps of many."""
