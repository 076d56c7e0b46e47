"""Seconds by part of what a call does, for the other benchmarks."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np


def now() -> np.ndarray:
    """Seconds on the wall and on the processor."""
    return np.array([time.perf_counter(), time.process_time()])


class Clock:
    """Seconds (wall, processor) by part; a part inside another is not counted twice."""

    def __init__(self) -> None:
        self.spent: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
        self.inside: list[np.ndarray] = []

    def time(self, module: Any, name: str, part: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = now()
            self.inside.append(np.zeros(2))
            try:
                return function(*arguments, **keywords)
            finally:
                took = now() - start
                self.spent[part] += took - self.inside.pop()
                if self.inside:
                    self.inside[-1] += took

        setattr(module, name, timed)

    def time_drawing(self) -> None:
        """Time the pictures of a map, and what becomes of them."""
        from mlflow_modelmap.drivers.map import pictures
        from mlflow_modelmap.tracking.runs import study_run
        from mlflow_modelmap.tracking.runs.log_values import OpenRun

        for module, name, part in (
            (pictures, "map_figure", "map figures"),
            (pictures, "heatmap_figure", "heatmap"),
            (pictures, "bars_figure", "bits-per-byte bars"),
            (pictures, "interactive_map", "interactive page"),
            (study_run, "_write_files", "write PNG, Parquet and npy files"),
            (OpenRun, "log_folder", "log them as artifacts"),
        ):
            self.time(module, name, part)

    def tell(self, total: np.ndarray, call: str) -> None:
        """Print what each part took of the call's ``total``."""
        print(f"{'seconds':>8}  {'of CPU':>8}  {'share':>6}  part of {call}")
        rest = total - sum(self.spent.values())
        for part, spent in {**self.spent, "the rest": rest, "all of it": total}.items():
            print(f"{spent[0]:8.2f}  {spent[1]:8.2f}  {spent[0] / total[0]:6.1%}  {part}")
