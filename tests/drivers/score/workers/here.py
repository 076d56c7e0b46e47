"""A cluster that is this process."""

from __future__ import annotations

import time

from mlflow_modelmap.drivers.score.workers.do import do
from mlflow_modelmap.drivers.score.workers.events import Answer


class Here:
    """A cluster that is this process: what is given is done at once."""

    count, prepares = 1, False

    def __init__(self, sees: bool = True) -> None:
        self.sees = sees
        self.answers: list[Answer] = []

    def shares(self, folder):
        return self.sees

    def free(self, need):
        return not self.answers

    def give(self, number, need, work):
        self.answers.append(Answer(number, do(work)))

    def events(self, seconds):
        found, self.answers = self.answers, []
        if not found:
            time.sleep(0.01)  # for the threads that fetch
        return found

    def close(self):
        pass
