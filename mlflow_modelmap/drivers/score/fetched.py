"""Driver: weights fetched from the Hub for the models of a plan, which go for lack of room."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mlflow_modelmap.drivers.score.prepare import Found, Prepared, fetched_unless_scored
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.machine.in_use import hold, unused
from mlflow_modelmap.scoring.model.cached_weights import (
    CachedWeights,
    cached_weights,
    is_snapshot,
    lock_of,
    lock_of_part,
    remove,
    weights_in,
)
from mlflow_modelmap.scoring.model.reference import HUB, ModelFiles, ModelReference
from mlflow_modelmap.scoring.settings import ENDPOINT


@dataclass(eq=False)
class _Place:
    """Where weights of a plan lie: of which models, and the files that were fetched, in bytes."""

    of: set[ModelReference] = field(default_factory=set)
    files: dict[Path, int] = field(default_factory=dict)
    held: IO[bytes] | None = None
    stays: bool = False


class FetchedWeights:
    """What was fetched meanwhile, of which only so much stays.

    Configurations and tokenizers stay, and so does whatever was there before. Bases of adapters
    stay too: the next adapter needs them. Weights that several models of the plan are made from go
    with the last of them, and never while another process says in the cache that it needs them.

    Parameters
    ----------
    keep_bytes
        So many bytes of weights may lie on disk that are not needed any more.
    asked
        The models of the plan.
    """

    def __init__(self, keep_bytes: float, asked: Sequence[ScoreRequest]) -> None:
        self._keep = keep_bytes
        self._lock = threading.RLock()
        self._users: dict[ModelReference, set[ScoreRequest]] = defaultdict(set)
        for request in asked:
            self._users[request.reference].add(request)
        self._places: dict[Path, _Place] = {}
        self._over: list[Path] = []
        self._looked: dict[ScoreRequest, CachedWeights | None] = {}
        self._fetching, self._closed = 0, False

    @property
    def full(self) -> bool:
        """Whether what was fetched, needed still or not, takes all the room."""
        with self._lock:
            return sum(sum(one.files.values()) for one in self._places.values()) > self._keep

    def watch(
        self,
        request: ScoreRequest,
        fetch: Callable[[], Found],
        look: Callable[[], Found] | None = None,
        is_scored: Callable[[Found], bool] | None = None,
    ) -> Found:
        """What `fetch` gives for a model, which is needed from here on, as is an adapter's base.

        What it has fetched is remembered, also where it was interrupted or the model was refused.

        Parameters
        ----------
        look
            As `fetch`, but for the weights: where they will lie is then held before they come.
        is_scored
            Whether what `look` gave will do, as the weights are not needed.
        """
        reference, made, known = request.reference, None, None
        with self._lock:
            self._users[reference].add(request)
            self._fetching += 1
        held = None
        try:
            before = _of_the_hub(request)
            if before is not None and reference.gguf:  # where it will lie is not known before
                held = hold(lock_of(before.repository))

            def looked(found: Found) -> None:
                nonlocal known
                known = found
                self._remember(reference, before, known)

            try:
                if look is None:
                    made = fetch()
                else:
                    wanted = is_scored or (lambda found: False)
                    made = fetched_unless_scored(look, fetch, wanted, looked)
                if made is known:
                    with self._lock:
                        self._looked[request] = before
                    return made
                self._remember(reference, before, made)
                return made if _is_there(made) else fetch()
            finally:
                self._remember(reference, before, made or known)
        finally:
            if held is not None:
                held.close()
            with self._lock:
                self._fetching -= 1
            if self._closed:
                self.close()
            self._tidy()

    def not_needed(self, request: ScoreRequest, *, came: bool = False) -> None:
        """A model has come to its end, or waits for others; what has no room goes, oldest first.

        Parameters
        ----------
        came
            Whether a node has fetched what was only looked at here.
        """
        with self._lock:
            self._users[request.reference].discard(request)
            before = self._looked.pop(request, None)
            if came and before is not None:
                self._remember_own(request.reference, before, cached_weights(request.reference))
            for path, place in self._places.items():
                if request.reference in place.of and not any(map(self._users.get, place.of)):
                    self._let_go(path, place)
            self._tidy()

    def close(self) -> None:
        """Let go of what this process still needed."""
        self._closed = True
        self._tidy()
        with self._lock:
            for place in self._places.values():
                if place.held is not None:
                    place.held.close()
                    place.held = None

    def _remember(
        self, reference: ModelReference, before: CachedWeights | None, made: Found | None
    ) -> None:
        with self._lock:
            if before is not None:
                self._remember_own(reference, before, cached_weights(reference))
            base = None if made is None else _base_of(made)
            if base is not None:
                place = self._needed(base)
                place.stays, place.files = True, {}

    def _remember_own(
        self, reference: ModelReference, before: CachedWeights, after: CachedWeights
    ) -> None:
        known: dict[Path, int] = {}
        if after.place is not None and (was := self._places.get(after.repository)):
            known = was.files  # what was interrupted when there was no snapshot yet
            self._let_go(after.repository, was)
            del self._places[after.repository]
            self._over = [path for path in self._over if path != after.repository]
        place = self._needed(after.place or after.repository)
        place.of.add(reference)
        known = {**known, **place.files}
        new = {p: n for p, n in after.files.items() if p in known or p not in before.files}
        place.files = {} if place.stays else new

    def _needed(self, path: Path) -> _Place:
        place = self._places.setdefault(path, _Place())
        if path in self._over:
            self._over.remove(path)
        place.held = place.held or hold(lock_of(path))
        return place

    def _let_go(self, path: Path, place: _Place) -> None:
        if place.stays:
            return
        if place.held is not None:
            place.held.close()
            place.held = None
        if place.files and path not in self._over:
            self._over.append(path)

    def _tidy(self) -> None:
        """Remove what there is no room for, but not while a fetch may come to need it."""
        with self._lock:
            for path in list(self._over):
                if self._fetching or not self.full:
                    return
                if self._removed(path):
                    self._over.remove(path)

    def _removed(self, path: Path) -> bool:
        """Whether what was fetched of a place is gone now: another process may need it."""
        repository = next(p for p in (path, *path.parents) if p.name.startswith("models--"))
        with ExitStack() as until:
            for place in {path} if is_snapshot(path) else {path, repository}:
                if not until.enter_context(unused(lock_of(place))):
                    return False
            for file in self._places.pop(path).files:
                part = lock_of_part(file)
                if part is None or until.enter_context(unused(part, ours=False)):
                    remove(file)
        return True


def _of_the_hub(request: ScoreRequest) -> CachedWeights | None:
    """What lies in the cache of a model before its files are fetched; None where none will be."""
    if request.reference.kind != HUB or request.settings.engine == ENDPOINT:
        return None
    with suppress(InputError):  # no name, as fetching says
        return cached_weights(request.reference)
    return None


def _base_of(made: Prepared | ModelFiles) -> Path | None:
    """The snapshot that an adapter's base was fetched into, or its GGUF file."""
    files = made.files if isinstance(made, Prepared) else made
    if files.adapter is None:
        return None
    named = files.adapter.base
    if named is not None and named.kind == HUB and named.gguf:
        return cached_weights(named).place
    base = Path(files.model_path)
    return base if is_snapshot(base) else None


def _is_there(made: Prepared | ModelFiles) -> bool:
    """Whether nobody has removed weights since, before this process had said that it needs them."""
    files = made.files if isinstance(made, Prepared) else made
    place, base = Path(files.model_path), _base_of(made)
    dangles = is_snapshot(place) and any(not path.exists() for path in place.iterdir())
    return not dangles and (base is None or base.is_file() or bool(weights_in(base)))


def together(asked: Sequence[ScoreRequest]) -> list[int]:
    """The numbers of the models of a plan in its order, but those of the same weights as one."""
    first: dict[ModelReference, int] = {}
    for number, request in enumerate(asked):
        first.setdefault(request.reference, number)
    return sorted(range(len(asked)), key=lambda number: (first[asked[number].reference], number))
