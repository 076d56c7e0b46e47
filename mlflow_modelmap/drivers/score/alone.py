"""Driver: whether others may have scored a model since a sweep began, so that it is looked for."""

from __future__ import annotations

import time

SHORT_SECONDS = 2.0
"""A model that takes less costs little if another sweep turns out to have it."""


class Alone:
    """What a sweep that read its store when it began has met since."""

    def __init__(self) -> None:
        self._claimed: set[str] = set()
        self._last: float | None = None
        self._met = False

    def claims(self, identity: str) -> None:
        """The sweep begins to score a model that nobody else had."""
        self._claimed.add(identity)
        self._last = time.monotonic()

    def meets(self) -> None:
        """Another process turned out to have a model."""
        self._met = True

    def needs_no_look(self, identity: str) -> bool:
        """Whether a model's run is made without a look at the store before.

        So it is while models are short and no other process has been met: the claim looks anyhow,
        and if another process has the model after all, one run was made in vain.
        """
        if self._met or self._last is None or identity in self._claimed:
            return False
        return time.monotonic() - self._last < SHORT_SECONDS
