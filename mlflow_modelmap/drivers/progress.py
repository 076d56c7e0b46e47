"""Driver: a progress bar in tokens, with tokens/s and time left, on stderr only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def token_bar(label: str, shown: bool = True) -> Iterator[Callable[[int, int], None] | None]:
    """A function (tokens done, tokens in all) that moves the bar; None where none is shown."""
    if not shown:
        yield None
        return
    # A log file gets a line now and then, a terminal a moving bar.
    interval = 0.2 if sys.stderr.isatty() else 15.0
    with tqdm(
        desc=label, unit="tok", unit_scale=True, file=sys.stderr, mininterval=interval, total=0
    ) as bar:

        def move(done: int, total: int) -> None:
            if bar.n == 0 and done < total:  # loading the model is no part of the tokens/s
                bar.reset(total)
                bar.initial = bar.n = done
                bar.refresh()
            bar.total = total
            bar.update(done - bar.n)

        yield move
