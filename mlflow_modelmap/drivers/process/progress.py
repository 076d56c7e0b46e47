"""Driver: a progress bar with speed and time left, on stderr only, that looks whether to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from mlflow_modelmap.drivers.process import stopping
from mlflow_modelmap.tracking.runs.alive import beat

TOKENS, PARAMETERS = "tok", "par"


def look_up() -> None:
    """End the work here if somebody asked for that; else say on its runs that it goes on.

    Raises
    ------
    KeyboardInterrupt
        See `stopping.check`.
    """
    stopping.check()
    beat()


def say(text: str, shown: bool = True) -> None:
    """A remark on stderr, where progress is shown."""
    if shown:
        tqdm.write(f"Note: {text}", file=sys.stderr)


@contextmanager
def progress_bar(
    label: str, shown: bool = True, *, unit: str = TOKENS, stays: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """A function (done, in all) that moves the bar, where one is shown.

    Shown or not, each call looks up (`look_up`).

    Parameters
    ----------
    unit
        What is counted: ``tok`` or ``par``.
    stays
        A bar that does not stay makes room for the next one: many models take one line.
    """
    if not shown:
        yield lambda done, total: look_up()
        return
    # A log file gets a line now and then, a terminal a moving bar.
    terminal = sys.stderr.isatty()
    with tqdm(
        desc=label,
        unit=unit,
        unit_scale=True,
        file=sys.stderr,
        mininterval=0.2 if terminal else 15.0,
        delay=0 if terminal else 15.0,
        leave=stays,
        total=0,
    ) as bar:

        def move(done: int, total: int) -> None:
            look_up()
            # What came before the first call, such as loading the model, is no part of the speed.
            if terminal and bar.n == 0 and done < total:
                bar.reset(total)
                bar.initial = bar.n = done
                bar.refresh()
            bar.total = total
            bar.update(done - bar.n)

        yield move
