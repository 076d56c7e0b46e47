"""Scoring (no torch here): weights fetched from the Hub, which go again for lack of room."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mlflow_modelmap.scoring.model.hub import cached_snapshot
from mlflow_modelmap.scoring.model.reference import HUB, ModelFiles, ModelReference
from mlflow_modelmap.scoring.model.weight_files import weight_names

Result = TypeVar("Result")


class FetchedWeights:
    """What was fetched meanwhile, of which only so much stays.

    Configurations and tokenizers stay, and so does whatever was there before. Bases of adapters
    stay too: the next adapter needs them.

    Parameters
    ----------
    keep_bytes
        So many bytes of weights may lie on disk that are not needed any more.
    """

    def __init__(self, keep_bytes: float) -> None:
        self._keep = keep_bytes
        self._sizes: dict[str, int] = {}
        self._over: list[str] = []

    @property
    def full(self) -> bool:
        """Whether what was fetched, needed still or not, takes all the room."""
        return sum(self._sizes.values()) > self._keep

    def watch(
        self,
        reference: ModelReference,
        fetch: Callable[[], Result],
        files: Callable[[Result], ModelFiles],
    ) -> Result:
        """What `fetch` gives; its weights are remembered if they were not there before."""
        there = _weights(cached_snapshot(reference)) if reference.kind == HUB else []
        made = fetch()
        own = _own_folder(files(made))
        if reference.kind == HUB and not there:
            found = _weights(own)
            if found:
                self._sizes[own] = sum(path.stat().st_size for path in found)
        return made

    def not_needed(self, files: ModelFiles) -> None:
        """A model is scored; what there is no room for goes, the oldest first."""
        own = _own_folder(files)
        if own in self._sizes and own not in self._over:
            self._over.append(own)
        while self._over and self.full:
            folder = self._over.pop(0)
            del self._sizes[folder]
            for path in _weights(folder):
                _remove(path)


def _own_folder(files: ModelFiles) -> str:
    return files.model_path if files.adapter is None else files.adapter.path


def _weights(folder: str | None) -> list[Path]:
    """The files of weights in a snapshot of the Hub's cache, whole ones."""
    if folder is None or Path(folder).parent.name != "snapshots":
        return []
    names = os.listdir(folder)
    adapters = [n for n in names if n.startswith("adapter_model.")]
    found = [Path(folder) / name for name in (*weight_names(names), *adapters)]
    return [path for path in found if path.exists()]


def _remove(path: Path) -> None:
    """Remove a file of a snapshot, and what it is a link to unless another revision has it too."""
    with contextlib.suppress(OSError):
        target = path.resolve()
        path.unlink()
        others = path.parent.parent.glob(f"*/{path.name}")
        if target != path and not any(other.resolve() == target for other in others):
            target.unlink()
