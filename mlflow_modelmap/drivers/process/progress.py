"""Driver: a progress bar in tokens, with tokens/s and time left, on stderr only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from mlflow_modelmap.drivers.process import stopping


@contextmanager
def token_bar(
    label: str, shown: bool = True, *, stays: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """A function (tokens done, tokens in all) that moves the bar, where one is shown.

    A bar that does not stay makes room for the next one: many models take one line.
    """
    if not shown:
        yield lambda done, total: stopping.check()
        return
    # A log file gets a line now and then, a terminal a moving bar.
    terminal = sys.stderr.isatty()
    with tqdm(
        desc=label,
        unit="tok",
        unit_scale=True,
        file=sys.stderr,
        mininterval=0.2 if terminal else 15.0,
        delay=0 if terminal else 15.0,
        leave=stays,
        total=0,
    ) as bar:

        def move(done: int, total: int) -> None:
            stopping.check()
            if (
                terminal and bar.n == 0 and done < total
            ):  # loading the model is no part of the tokens/s
                bar.reset(total)
                bar.initial = bar.n = done
                bar.refresh()
            bar.total = total
            bar.update(done - bar.n)

        yield move


@contextmanager
def parameter_bar(label: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A function (parameters done, parameters in all) that moves the bar, where one is shown."""
    if not shown:
        yield lambda done, total: stopping.check()
        return
    interval = 0.2 if sys.stderr.isatty() else 15.0
    with tqdm(
        desc=label, unit="par", unit_scale=True, file=sys.stderr, mininterval=interval, total=0
    ) as bar:

        def move(done: int, total: int) -> None:
            stopping.check()
            bar.total = total
            bar.update(done - bar.n)

        yield move
