"""Driver: the table of a lineage - KL to the parent, the nearest model, and what that says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.lineage.claims import relation_of
from mlflow_modelmap.drivers.lineage.members import Family
from mlflow_modelmap.numerics.lineage.agreement import Agreement, single_claims
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage
from mlflow_modelmap.numerics.lineage.nearest_gap import NearestGap

AGREES, NEARER, CLOSE, UNMEASURED = (
    "nearest is the parent",
    "another is nearer",
    "too close to tell",
    "not measured",
)


def lineage_table(
    family: Family,
    graph: Lineage,
    kl: pd.DataFrame,
    se: pd.DataFrame,
    nearest: Mapping[str, str],
    gaps: Mapping[tuple[str, str], NearestGap],
    folded: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """``lineage.parquet``: see `LineageResult.table`; `folded` are other names of its models."""
    rows = []
    also: dict[str, list[str]] = {}
    for name, of in folded.items():
        also.setdefault(of, []).append(name)
    for child, parents in graph.parents.items():
        if child in folded:
            continue
        member = family.members.get(child)
        near = nearest.get(child)
        for parent in parents or (None,):
            there = parent is not None and {parent, child} <= {*kl.index}
            root = graph.root[child]
            gap = gaps.get((child, parent)) if parent else None
            from_root = {root, child} <= {*kl.index}
            rows.append(
                {
                    "child": child,
                    "parent": parent,
                    "generation": graph.generation[child],
                    "kl": kl.at[child, parent] if there else np.nan,
                    "se": se.at[child, parent] if there else np.nan,
                    "nearest": near,
                    "nearest_kl": kl.at[child, near] if near else np.nan,
                    "source": member.claims[0].source if parent and member else None,
                    "relation": relation_of(member, graph.parents) if parent and member else None,
                    "verdict": verdict(parent, near, gap) if parent else None,
                    "root": root,
                    "kl_to_root": kl.at[child, root] if from_root else np.nan,
                    "se_to_root": se.at[child, root] if from_root else np.nan,
                    "gap": gap.gap if gap else np.nan,
                    "gap_se": gap.se if gap else np.nan,
                    "candidates": gap.candidates if gap else pd.NA,
                    "also": ", ".join(also[child]) if child in also else None,
                }
            )
    text = ["child", "parent", "nearest", "source", "relation", "verdict", "root", "also"]
    whole = dict.fromkeys(("generation", "candidates"), "Int64")
    return pd.DataFrame(rows).astype({**whole, **dict.fromkeys(text, "string")})


def verdict(parent: str, near: str | None, gap: NearestGap | None) -> str:
    """What KL says of a claimed parent, given the nearest candidate; no gap is not measured."""
    if near is None or gap is None:
        return UNMEASURED
    if near == parent:
        return AGREES
    return NEARER if gap.another_is_nearer else CLOSE


def metrics_of(table: pd.DataFrame, graph: Lineage, agreement: Agreement) -> dict[str, float]:
    """Metrics of a lineage run; merges and copies do not count in the KL to the parent."""
    pairs = single_claims(graph, graph.parents)
    alone = table[table["child"].isin([child for _, child in pairs])].dropna(subset=["kl"])
    alone = alone[~alone["relation"].isin(["copy", "quantized"])]
    depth = table["generation"].max()
    found = {
        "models": float(table["child"].nunique()),
        "parent_child_pairs": float(len(alone)),
        "generations": float("nan") if pd.isna(depth) else float(depth),
        "kl_to_parent_median": alone["kl"].median(),
        "kl_to_parent_mean": alone["kl"].mean(),
        "claims": float(agreement.claimed),
        "claims_nearest": float(agreement.nearest),
        "claims_in_spanning_tree": float(agreement.spanning),
        "families": float(agreement.families),
        "families_joined": float(agreement.joined),
    }
    return {key: float(value) for key, value in found.items() if np.isfinite(value)}


def drift(table: pd.DataFrame) -> list[tuple[str, int, float]]:
    """Median KL from the root by generation, as a curve."""
    below = table[table["generation"].fillna(0) > 0].drop_duplicates("child")
    medians = below.groupby("generation")["kl_to_root"].median().dropna()
    return [("kl_to_root_median", int(str(g)), float(value)) for g, value in medians.items()]
