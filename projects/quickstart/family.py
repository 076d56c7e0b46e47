"""The quickstart's models: two sizes, two seeds, checkpoints spaced like Pythia's, and a child."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Member:
    """A model: a width, a seed (of its first weights and its data order), perhaps a parent."""

    width: int
    seed: int
    last_step: int
    parent: Member | None = None

    @property
    def name(self) -> str:
        """Its name in the Model Registry and that of its trajectory."""
        if self.parent is not None:
            return f"{self.parent.name}-code"
        return f"tiny-{self.width}-seed{self.seed}"

    @property
    def uri(self) -> str:
        """Its last checkpoint in the Model Registry."""
        return f"models:/{self.name}/1"

    @property
    def steps(self) -> tuple[int, ...]:
        """When checkpoints are kept: 0, the powers of two, then every 64th; of a child, the last.

        That is dense where a model changes fast.
        """
        if self.parent is not None:
            return (self.last_step,)
        steps = (0, *(2**power for power in range(9)), *range(320, self.last_step, 64))
        return (*(step for step in steps if step < self.last_step), self.last_step)

    def folder(self, cache: Path) -> Path:
        """Where its checkpoints lie."""
        return cache / self.name

    def last_checkpoint(self, cache: Path) -> Path:
        """Where its last checkpoint lies."""
        return self.folder(cache) / f"step{self.last_step}"


def family(last_step: int) -> tuple[Member, ...]:
    """Two seeds of width 128, two of width 64, then the child of the first."""
    parents = tuple(Member(width, seed, last_step) for width in (128, 64) for seed in (1, 2))
    return (*parents, Member(128, 1, max(1, last_step // 4), parent=parents[0]))
