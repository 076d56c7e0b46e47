"""Surface: callbacks with which trainers watch a training; each framework in its own module."""
