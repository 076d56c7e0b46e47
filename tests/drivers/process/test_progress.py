"""A bar: always looks whether to stop, whether it is shown or not."""

from __future__ import annotations

import os
import signal

import pytest

from mlflow_modelmap.drivers.process.progress import PARAMETERS, progress_bar
from mlflow_modelmap.drivers.process.stopping import stoppable


class Forgets:
    """Python forgets an exception that comes while a destructor runs."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shown", [True, False])
def test_a_stop_that_was_forgotten_comes_with_the_next_move(shown, capfd):
    with stoppable(), progress_bar("weights", shown, unit=PARAMETERS) as move:
        move(1, 3)
        forgets = Forgets()
        del forgets
        with pytest.raises(KeyboardInterrupt):
            move(2, 3)
        move(3, 3)  # once for each time it was asked for


def test_what_is_not_shown_prints_nothing(capfd):
    with progress_bar("model", shown=False) as move:
        move(1, 2)
    assert capfd.readouterr() == ("", "")
