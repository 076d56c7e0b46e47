"""Driver: one line for all workers - models done, tokens a second of all, time left."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tqdm import tqdm

from mlflow_modelmap.words.one_line import one_line
from mlflow_modelmap.words.shortened import shortened

_LINE_SECONDS = 30.0
"""Between two lines in a log file."""
_SAID_SECONDS = 15.0
"""Between two times that it is written into the sweep's run."""
_NAMES, _NAME = 20, 60
"""So many models at work are named there, in so many characters each."""


@dataclass
class SweepProgress:
    """How far a sweep is.

    Parameters
    ----------
    models
        How many there are.
    shown
        Whether a line is shown on stderr.
    workers
        What works, for whoever asks: ``4 processes``.
    at_work
        Names of the models that workers have, for whoever asks.
    """

    models: int
    shown: bool = False
    workers: str = "1 process"
    at_work: tuple[str, ...] = ()
    states: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    tokens: int = 0
    _moved: dict[int, tuple[int, int]] = field(default_factory=dict)
    _costs: dict[int, int] = field(default_factory=dict)
    _cost: float = 0.0
    _bar: Any = None
    _lined: float = 0.0
    _said: float = 0.0

    def expect(self, costs: Mapping[int, int]) -> None:
        """What each model costs, in any unit: by that the time left is reckoned."""
        self._costs = dict(costs)

    def moved(self, number: int, done: int, total: int) -> None:
        """So many tokens of a model are scored, of so many."""
        before, _ = self._moved.get(number, (0, 0))
        self.tokens += max(0, done - before)
        self._moved[number] = (done, total)

    def ended(self, number: int, state: str, worked: bool) -> None:
        """A model has come to its end; `worked`, where time was spent on it."""
        self.states[state] = self.states.get(state, 0) + 1
        self._moved.pop(number, None)
        cost = self._costs.pop(number, 0)
        self._cost += cost if worked else 0

    def again(self, number: int) -> None:
        """A model begins anew."""
        self._moved.pop(number, None)

    @property
    def tokens_per_second(self) -> float:
        """Of all workers together, since the beginning."""
        return self.tokens / max(1e-9, time.monotonic() - self.began)

    @property
    def seconds_left(self) -> float | None:
        """By what was done so far; None at the beginning."""
        part = {n: done / total for n, (done, total) in self._moved.items() if total}
        doing = sum(self._costs.get(number, 0) * share for number, share in part.items())
        done = self._cost + doing
        left = sum(self._costs.values()) - doing
        if done <= 0:
            return None
        return (time.monotonic() - self.began) * left / done

    def line(self) -> str:
        """All of it in one line."""
        done = sum(self.states.values())
        parts = [f"{done}/{self.models} models"]
        if self.states.get("failed"):
            parts.append(f"{self.states['failed']} failed")
        if self.tokens:
            parts.append(f"{_short(self.tokens_per_second)} tokens/s")
        left = self.seconds_left
        if left is not None and done < self.models:
            parts.append(f"{tqdm.format_interval(left)} left")
        return ", ".join(parts)

    def show(self) -> None:
        """Show the line, where one is shown."""
        if not self.shown:
            return
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(bar_format="{desc}", file=sys.stderr, leave=False)
            self._bar.set_description_str(self.line())
        elif time.monotonic() - max(self._lined, self.began) > _LINE_SECONDS:
            self._lined = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the line away."""
        if self._bar is not None:
            self._bar.close()

    def due(self) -> bool:
        """Whether it is time to say in the store how far it is."""
        now = time.monotonic()
        if now - self._said < _SAID_SECONDS:
            return False
        self._said = now
        return True

    def written(self) -> str:
        """As the sweep's run says it: JSON."""
        left = self.seconds_left
        return json.dumps(
            {
                "models": self.models,
                **{state: self.states.get(state, 0) for state in ("scored", "skipped", "failed")},
                "tokens_per_second": round(self.tokens_per_second, 1),
                "seconds_left": None if left is None else round(left),
                "workers": self.workers,
                "at_work": [name_at_work(name) for name in self.at_work[:_NAMES]],
                "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            },
            ensure_ascii=False,
        )


def name_at_work(name: str) -> str:
    """A model's name as a sweep's run says it: of a long one, its beginning and its end."""
    return shortened(one_line(name), _NAME)


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else tqdm.format_sizeof(number)
