"""Tracking: runs that cannot be read - refused where they were named, else left out and told of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mlflow_modelmap.errors import TrackingError
from mlflow_modelmap.tracking.runs.largest_sizes import NAMED
from mlflow_modelmap.words.counted import counted
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.shortened import shortened


class DamagedRun(TrackingError):
    """A run that cannot be read, so that it holds no score; `run_id` says which."""

    def __init__(self, run_id: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id


@dataclass
class LeftOut:
    """Which runs are left out, and why.

    Attributes
    ----------
    notices
        Receives a sentence for each run, with `tell`; None to refuse every one.
    named
        Ids of runs that are refused.
    """

    notices: list[str] | None
    named: Collection[str] = ()
    _said: list[tuple[str, str]] = field(default_factory=list)

    def out(self, run_id: str, name: str, why: str, remedy: str, command: str = "") -> None:
        """Leave a run out.

        Parameters
        ----------
        why, remedy
            What is wrong, behind the run's name, and what would be right.
        command
            What to type for that.

        Raises
        ------
        DamagedRun
            If it may not be left out.
        """
        shown = f"{run_id} ({shortened(name, 60)!r})"
        if self.notices is None or run_id in self.named:
            raise DamagedRun(run_id, f"Run {shown} {why}; {remedy}.")
        so = f"; {command}" if command else ""
        self._said.append((f"Left out run {shown}, which {why}{so}.", shortened(name, 60)))

    def error(self, run_id: str, name: str, error: TrackingError) -> None:
        """Leave a run out whose error says itself what is wrong, and with which run.

        Raises
        ------
        TrackingError
            If it may not be left out.
        """
        if self.notices is None or run_id in self.named:
            raise error
        self._said.append((f"Left out one that cannot be read: {error}", shortened(name, 60)))

    def tell(self) -> None:
        """Say of each run that was left out why, of many only of the first of them."""
        if self.notices is None:
            return
        new = [said for said in self._said if said[0] not in self.notices]
        self.notices += [sentence for sentence, _ in new[:NAMED]]
        if len(new) > NAMED:
            rest = [name for _, name in new[NAMED:]]
            self.notices.append(
                f"Left out {counted(len(rest), 'more run')} that cannot be read: "
                f"{listed(rest, NAMED)}."
            )
        self._said.clear()
