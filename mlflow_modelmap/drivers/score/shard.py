"""Driver: a part of a plan for each of several jobs that know nothing of each other."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median_low

from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.reference import LOCAL

_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt")
_IN_A_NAME = re.compile(
    r"(?<![a-z0-9.])(?:(?P<times>\d+)x)?(?P<number>\d+(?:\.\d+)?)(?P<unit>[bm])(?![a-z0-9])"
)
_UNKNOWN_BYTES = 2_000_000_000
_BYTES_A_PARAMETER = 2


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of a plan that is split in `of` parts."""

    number: int
    of: int

    @classmethod
    def parse(cls, written: str) -> Shard:
        """Read ``2/8``.

        Raises
        ------
        InputError
            If it is no part of a whole.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", written.strip())
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(
                f"The shard is {written!r}; write which part of how many, from 1/8 to 8/8."
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def of_these(self, requests: Sequence[ScoreRequest]) -> list[ScoreRequest]:
        """The models of this part, in the plan's order.

        The largest go first to the part that has least so far. Nothing counts but the plan and the
        files it names on this machine: not what is scored already, nor what is in a cache. So all
        parts together are the plan, each model once, whenever they are started.
        """
        sizes = [size_of(request) for request in requests]
        loads = [(0, part) for part in range(1, self.of + 1)]  # a heap: the least is the first
        chosen: set[int] = set()
        for place in sorted(range(len(requests)), key=lambda place: (-sizes[place], place)):
            load, part = loads[0]
            heapq.heapreplace(loads, (load + sizes[place], part))
            if part == self.number:
                chosen.add(place)
        return [request for place, request in enumerate(requests) if place in chosen]


def costs(requests: Sequence[ScoreRequest]) -> list[int]:
    """What each model costs beside the others: its size; the median of the others if unknown."""
    known = [_known_size(request) for request in requests]
    median = median_low([size for size in known if size] or [_UNKNOWN_BYTES])
    return [size or median for size in known]


def size_of(request: ScoreRequest) -> int:
    """Bytes of a model's weights: of its files where it lies here, else by what its name says."""
    return _known_size(request) or _UNKNOWN_BYTES


def _known_size(request: ScoreRequest) -> int | None:
    name = request.reference.name
    return _on_disk(name) if request.reference.kind == LOCAL else _by_name(name)


@cache
def _on_disk(path: str) -> int:
    if os.path.isfile(path):
        return os.path.getsize(path)
    try:
        with os.scandir(path) as entries:
            sizes = [e.stat().st_size for e in entries if e.name.endswith(_WEIGHTS)]
    except OSError:
        return 1
    return max(1, sum(sizes))


def _by_name(name: str) -> int | None:
    """What ``pythia-6.9b`` or ``Mixtral-8x7B`` weigh in 16 bits."""
    found = list(_IN_A_NAME.finditer(name.rstrip("/").rpartition("/")[2].lower()))
    if not found:
        return None
    said = found[-1]
    unit = 1e9 if said["unit"] == "b" else 1e6
    return int(int(said["times"] or 1) * float(said["number"]) * unit * _BYTES_A_PARAMETER)
