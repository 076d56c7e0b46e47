"""Driver: a progress bar with speed and time left, on stderr only, that looks whether to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from mlflow_modelmap.drivers.process import stopping

TOKENS, PARAMETERS = "tok", "par"


@contextmanager
def progress_bar(
    label: str, shown: bool = True, *, unit: str = TOKENS, stays: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """A function (done, in all) that moves the bar, where one is shown.

    Shown or not, each call ends the work if somebody asked for that (`stopping.check`).

    Parameters
    ----------
    unit
        What is counted: ``tok`` or ``par``.
    stays
        A bar that does not stay makes room for the next one: many models take one line.
    """
    if not shown:
        yield lambda done, total: stopping.check()
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
            stopping.check()
            # What came before the first call, such as loading the model, is no part of the speed.
            if terminal and bar.n == 0 and done < total:
                bar.reset(total)
                bar.initial = bar.n = done
                bar.refresh()
            bar.total = total
            bar.update(done - bar.n)

        yield move
