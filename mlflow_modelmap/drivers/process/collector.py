"""Driver: how often Python looks for cycles of objects, while a program is mostly imports.

MLflow, pandas, scikit-learn and PyTorch make hundreds of thousands of objects that stay. Python
looks through them again and again while they come, and twice more when it ends: more than a
third of what a short command takes.
"""

from __future__ import annotations

import gc

OBJECTS = 50_000
"""New objects after which cycles are looked for, while that is seldom."""
_usual: tuple[int, int, int] | None = None


def seldom() -> None:
    """Look for cycles seldom, until `as_usual`: for a program's own process, not for a library."""
    global _usual
    if _usual is None and gc.isenabled():
        _usual = gc.get_threshold()
        gc.set_threshold(max(OBJECTS, _usual[0]), *_usual[1:])


def as_usual() -> None:
    """Look for cycles as before `seldom`: a model is about to run, and they may hold its tensors.

    What is there by now is looked through no more. Does nothing without `seldom`.
    """
    global _usual
    if _usual is not None:
        gc.set_threshold(*_usual)
        gc.freeze()
        _usual = None


def at_end() -> None:
    """Nothing is looked through when this process ends, right after this."""
    gc.freeze()
