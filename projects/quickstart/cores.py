"""How many models are trained or scored at once: one a core, with a thread each."""

from __future__ import annotations

import os

MOST = 8
"""More gain nothing: each has to load its libraries first."""


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(MOST, len(os.sched_getaffinity(0)))
    return min(MOST, os.cpu_count() or 1)
