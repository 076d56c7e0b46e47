"""Driver: the models of a lineage, from runs and the registry, and the names that they have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.tracking.registry.claims import Claim
from mlflow_modelmap.tracking.registry.versions import RegisteredVersion
from mlflow_modelmap.tracking.runs.point import Point


@dataclass(frozen=True)
class Member:
    """A model of the lineage.

    Attributes
    ----------
    name
        Unique: ``name/version`` of the registry, else its run's name, else as its child calls it.
    reference
        What can be scored: a Hub name, directory or MLflow URI.
    version, run
        Its place in the registry and its score, where there are any.
    claims
        What is said of its parents, most trusted first, parents by member name.
    only_claimed
        Whether nobody asked for it: a tag, a card or a link named it as somebody's parent, which
        anybody can write.
    """

    name: str
    reference: str
    version: RegisteredVersion | None = None
    run: Point | None = None
    claims: tuple[Claim, ...] = ()
    only_claimed: bool = False


@dataclass
class Family:
    """Members by name, and everything that people may call them."""

    members: dict[str, Member] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, member: Member, called: Iterable[str]) -> None:
        """Add a member; of several with the same name in some place, the first has it."""
        self.members[member.name] = member
        for name in (member.name, *called):
            self.names.setdefault(_plain(name), member.name)

    def find(self, written: str) -> str | None:
        """The member that somebody means, or None."""
        return self.names.get(_plain(written)) or self.names.get(_plain(written).lower())

    def claims(self) -> dict[str, tuple[str, ...]]:
        """The parents that count: those of each member's most trusted claim."""
        return {m.name: m.claims[0].parents for m in self.members.values() if m.claims}


def gather(versions: Sequence[RegisteredVersion], runs: Sequence[Point]) -> Family:
    """Versions and runs as members; a run that scored a version belongs to it."""
    family = Family()
    of_version: dict[str, Point] = {}
    known = {name: version.label for version in versions for name in version.called()}
    left: list[Point] = []
    for run in runs:
        label = known.get(run.model) if run.model.startswith("models:/") else None
        if label and run.revision:  # an alias or "latest" may have moved on since
            label = known.get(f"{label.rpartition('/')[0]}/{run.revision}", label)
        if label and not is_quantised(run.precision):
            of_version[label] = run  # runs come oldest first: the latest counts
        else:
            left.append(run)
    for version in versions:
        scored = of_version.get(version.label)
        called = [*version.called(), *([scored.name, scored.run_id] if scored else ())]
        family.add(Member(version.label, version.uri, version, scored), called)
    # What was scored plainly bears the model's own name, before its quantised copies do.
    for run in sorted(left, key=lambda run: (is_quantised(run.precision), -(run.step or 0))):
        called = [] if run.imported else [run.run_id]
        called += [run.model, f"{run.model}@{run.revision}"]
        called += [f"{run.model}@{run.commit}"] if run.commit else []
        name = run.name if run.name not in family.members else f"{run.name} ({run.run_id[:8]})"
        family.add(Member(name, run.model, run=run), called)
    return family


def _plain(written: str) -> str:
    """One spelling of what people write differently."""
    text = written.strip().rstrip("/")
    for prefix in ("https://huggingface.co/", "https://hf.co/", "hf://"):
        text = text.removeprefix(prefix)
    return os.path.realpath(os.path.expanduser(text)) if text.startswith((".", "/", "~")) else text
