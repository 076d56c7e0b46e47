"""Driver: the models of a lineage - from runs and the registry, with what is said of parents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.errors import InputError, ModelMapError, TrackingError
from mlflow_modelmap.scoring.load.precision import QUANTISED
from mlflow_modelmap.scoring.model.hub_lineage import ask_hub
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.tracking.registry.parents import (
    HUB_METADATA,
    PRECISION,
    RUN_TAG,
    Claim,
    RegisteredVersion,
    claim_in,
    disagreement,
    version_claims,
)
from mlflow_modelmap.tracking.runs.select_runs import Point
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.redact import redact

Score = Callable[[str, str | None], Point]


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
    """

    name: str
    reference: str
    version: RegisteredVersion | None = None
    run: Point | None = None
    claims: tuple[Claim, ...] = ()


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
        if label and run.precision not in QUANTISED:
            of_version[label] = run  # runs come oldest first: the latest counts
        else:
            left.append(run)
    for version in versions:
        scored = of_version.get(version.label)
        called = [*version.called(), *([scored.name, scored.run_id] if scored else ())]
        family.add(Member(version.label, version.uri, version, scored), called)
    # What was scored plainly bears the model's own name, before its quantised copies do.
    for run in sorted(left, key=lambda run: (run.precision in QUANTISED, -(run.step or 0))):
        called = [run.run_id, run.model, f"{run.model}@{run.revision}"]
        called += [f"{run.model}@{run.commit}"] if run.commit else []
        name = run.name if run.name not in family.members else f"{run.name} ({run.run_id[:8]})"
        family.add(Member(name, run.model, run=run), called)
    return family


def claim_parents(
    family: Family, names: Iterable[str], hub: bool, store: MlflowClient, notices: list[str]
) -> None:
    """Find out what is said of members' parents: tags, then MLflow's links, then the Hub."""
    names = list(names)
    on_hub = {n: h for n in names if hub and (h := _hub_name(family.members[n])) is not None}
    from_hub, said = ask_hub(on_hub.values()) if on_hub else ({}, [])
    notices += said
    for name in names:
        member = family.members[name]
        claims = version_claims(member.version, store, notices) if member.version else []
        if member.run is not None:
            own = claim_in(member.run.tags, RUN_TAG)
            if own:
                before = [c.relation == "copy" or c.source.endswith("tag") for c in claims]
                claims.insert(sum(before), own)
            plain = _unquantised(member, family)
            if plain:
                claims.insert(0, Claim((plain,), PRECISION, "quantized"))
        told = from_hub.get(on_hub.get(name, ""))
        if told is not None and told.parents:
            claims.append(Claim(told.parents, HUB_METADATA, told.relation))
        claims = [
            replace(c, parents=tuple(dict.fromkeys(family.find(p) or p for p in c.parents)))
            for c in claims
        ]
        if claims and claims[0].source != PRECISION:
            differing = disagreement(name, claims)
            notices += [differing] if differing else []
        family.members[name] = replace(member, claims=tuple(claims))


def score_missing(family: Family, names: Iterable[str], score: Score, notices: list[str]) -> None:
    """Score members that are not; one that fails is said and stays unmeasured."""
    for name in names:
        member = family.members[name]
        if member.version is not None and not member.version.source:
            notices.append(
                f"The registered version {name!r} has no source, so it cannot be scored; register "
                "it with one."
            )
            continue
        try:
            with _outside_the_project_run():
                run = score(member.reference, member.version.label if member.version else None)
        except Exception as error:
            if isinstance(error, TrackingError):
                check_reachable()  # a store that is gone ends the work
            told = isinstance(error, ModelMapError)
            reason = str(error) if told else f"{type(error).__name__}: {error}"
            notices.append(f"{name!r} could not be scored: {redact(' '.join(reason.split()))}")
            continue
        family.members[name] = replace(member, run=run)


def add_parents(family: Family, notices: list[str]) -> list[str]:
    """Make members of claimed parents that are none yet but can be found; their names."""
    added = []
    for child, parents in list(family.claims().items()):
        for parent in parents:
            if parent in family.members:
                continue
            try:
                reference = ModelReference.parse(parent)
            except InputError as error:
                notices.append(f"The parent {parent!r} of {child!r} cannot be found: {error}")
                continue
            family.add(Member(parent, str(reference)), [reference.name])
            added.append(parent)
    return added


def _unquantised(member: Member, family: Family) -> str | None:
    """The same model in its own precision."""
    run = member.run
    if run is None or run.precision not in QUANTISED:
        return None
    for other in family.members.values():
        twin = other.run
        if (
            twin is not None
            and twin.precision not in QUANTISED
            and (twin.model, twin.commit, twin.step) == (run.model, run.commit, run.step)
        ):
            return other.name
    return None


def _hub_name(member: Member) -> str | None:
    """``org/name`` where a member lies on the Hub."""
    try:
        reference = ModelReference.parse(member.reference)
    except InputError:
        return None
    return reference.name if reference.kind == HUB else None


def _plain(written: str) -> str:
    """One spelling of what people write differently."""
    text = written.strip().rstrip("/")
    for prefix in ("https://huggingface.co/", "https://hf.co/", "hf://"):
        text = text.removeprefix(prefix)
    return os.path.realpath(os.path.expanduser(text)) if text.startswith((".", "/", "~")) else text


@contextmanager
def _outside_the_project_run() -> Any:
    """Scores make runs of their own; the one that `mlflow run` made is for the lineage."""
    there = os.environ.pop("MLFLOW_RUN_ID", None)
    try:
        yield
    finally:
        if there is not None:
            os.environ["MLFLOW_RUN_ID"] = there


def relation_of(member: Member, parents: Mapping[str, tuple[str, ...]]) -> str | None:
    """How a member was made from its parents, as far as is said."""
    if not member.claims:
        return None
    return member.claims[0].relation or ("merge" if len(parents[member.name]) > 1 else None)
