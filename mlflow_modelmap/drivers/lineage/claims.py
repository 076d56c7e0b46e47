"""Driver: what is said of the parents of a lineage's models - by tags, MLflow's links, the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.members import Family, Member
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.load.precision import is_quantised
from mlflow_modelmap.scoring.model.hub_lineage import ask_hub
from mlflow_modelmap.scoring.model.reference import HUB, ModelReference
from mlflow_modelmap.tracking.registry.claims import (
    HUB_METADATA,
    PRECISION,
    RUN_TAG,
    Claim,
    claim_in,
    disagreement,
    version_claims,
)
from mlflow_modelmap.words.reason import reason


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
                notices.append(
                    f"The parent {parent!r} of {child!r} cannot be found: {reason(error)}."
                )
                continue
            family.add(Member(parent, str(reference), only_claimed=True), [reference.name])
            added.append(parent)
    return added


def relation_of(member: Member, parents: Mapping[str, tuple[str, ...]]) -> str | None:
    """How a member was made from its parents, as far as is said."""
    if not member.claims:
        return None
    return member.claims[0].relation or ("merge" if len(parents[member.name]) > 1 else None)


def _unquantised(member: Member, family: Family) -> str | None:
    """The same model in its own precision."""
    run = member.run
    if run is None or not is_quantised(run.precision):
        return None
    same = [
        (other.run, other.name)
        for other in family.members.values()
        if other.run is not None
        and not is_quantised(other.run.precision)
        and (other.run.model, other.run.commit) == (run.model, run.commit)
        and (None in (other.run.step, run.step) or other.run.step == run.step)
    ]  # whoever scores a copy need not say again at which step the model stood
    exact = [twin for twin in same if twin[0].step == run.step] or same
    if len({twin.step for twin, _ in exact}) != 1:
        return None  # of one name and several steps: nobody knows which was copied
    return exact[0][1]


def _hub_name(member: Member) -> str | None:
    """``org/name`` where a member lies on the Hub."""
    try:
        reference = ModelReference.parse(member.reference)
    except InputError:
        return None
    return reference.name if reference.kind == HUB else None
