"""Driver: what passes between a sweep and its workers, whatever lies between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlflow_modelmap import errors
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.sweep_rows import SweepRow
from mlflow_modelmap.scoring.settings import ScoreResult
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.words.reason import reason_with_type


@dataclass(frozen=True, eq=False)
class Asked:
    """A model to be prepared and scored where the worker is; the sweep logs it.

    Attributes
    ----------
    done
        Identities of scores that are there already, and need not be made.
    """

    request: ScoreRequest
    texts: TextSet
    done: frozenset[str]
    again: bool


@dataclass(frozen=True, eq=False)
class Whole:
    """A model to be scored and logged by the worker.

    Attributes
    ----------
    store, registry
        Addresses.
    task
        The tag by which the sweep knows the run again, should the worker die.
    formerly
        Whether there are scores of version 0.1.0, which go by another name.
    """

    request: ScoreRequest
    texts: TextSet
    store: str
    registry: str
    experiment_id: str
    parent_run_id: str
    task: str
    again: bool
    formerly: bool


@dataclass(frozen=True, eq=False)
class Made:
    """What was prepared (without its texts) and scored elsewhere; no result where it was there."""

    prepared: Prepared
    result: ScoreResult | None


@dataclass(frozen=True)
class Logged:
    """What became of a model whose run the worker made, and how many tokens it scored."""

    row: SweepRow
    tokens: int


@dataclass(frozen=True)
class HeldBy:
    """Another process is making this score in a run."""

    run_id: str


@dataclass(frozen=True)
class Failure:
    """Why a worker could not do it: the kind of error and its sentence."""

    kind: str
    sentence: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """An error as it can travel."""
        if isinstance(error, errors.ModelMapError):
            return cls(type(error).__name__, str(error))
        return cls("", reason_with_type(error))

    def error(self) -> Exception:
        """It again."""
        kind = getattr(errors, self.kind, None) if self.kind else errors.ScoringError
        return (kind or errors.ScoringError)(self.sentence)


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a task: a ScoreResult, Made, Logged, HeldBy or Failure."""

    number: int
    outcome: Any
    worker: str = ""


@dataclass(frozen=True)
class Moved:
    """So many tokens of a task are scored, of so many."""

    number: int
    done: int
    total: int


@dataclass(frozen=True)
class Died:
    """The worker of a task is gone, and why as far as that is known."""

    number: int
    worker: str
    why: str


class Engine(Protocol):
    """Where tasks are done. Everything is called from one thread.

    Attributes
    ----------
    count
        How many tasks can be worked on at once.
    prepares
        Whether tasks come prepared from the sweep, whose machine and devices are the workers' own.
    """

    count: int
    prepares: bool

    def shares(self, folder: Path) -> bool:
        """Whether its workers see this machine's files in a folder."""

    def free(self, need: int) -> bool:
        """Whether it takes one more task, that needs so many bytes of memory."""

    def give(self, number: int, need: int, work: Any) -> None:
        """Have a task done."""

    def events(self, seconds: float) -> list[Answer | Moved | Died]:
        """What has happened since it was asked last; waits so long at most."""

    def close(self) -> None:
        """End all of it, at once."""
