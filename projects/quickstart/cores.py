"""How many models are trained or scored at once: one a core, with a thread each."""

from __future__ import annotations

from joblib import cpu_count

MOST = 8
"""More gain nothing: each has to load its libraries first."""


def cores() -> int:
    """Those that this process may use."""
    return min(MOST, cpu_count())
