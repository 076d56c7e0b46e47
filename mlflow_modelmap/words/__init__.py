"""Words (standard library only): how names, numbers, errors and reasons are written, everywhere."""
