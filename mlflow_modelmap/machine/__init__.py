"""Machine: the computer this runs on - its processes, its signals, its temporary folders."""
