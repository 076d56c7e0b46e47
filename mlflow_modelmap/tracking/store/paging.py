"""Tracking: all that MLflow gives out page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow.utils import get_results_from_paginated_fn

PAGE = 1000
"""Things asked for at once: the most that MLflow takes of experiments and metrics."""
RUNS_A_PAGE = 5000
MODELS_A_PAGE = 100
"""Registered models come with their versions and aliases, so fewer are asked for at once."""


def every(
    ask: Callable[[int, str | None], Any], at_once: int = PAGE, most: int | None = None
) -> list[Any]:
    """A list of all, or the first `most`, of what `ask` gives.

    Parameters
    ----------
    ask
        Called with how many and a page token; gives one of MLflow's `PagedList`.
    """
    return get_results_from_paginated_fn(ask, at_once, most)
