"""Driver: the table of a lineage - KL to the parent, the nearest model, and what that says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlflow_modelmap.drivers.lineage.claims import relation_of
from mlflow_modelmap.drivers.lineage.members import Family
from mlflow_modelmap.numerics.lineage.agreement import Agreement, single_claims
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage

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
) -> pd.DataFrame:
    """``lineage.parquet``: see `LineageResult.table`."""
    rows = []
    for child, parents in graph.parents.items():
        member = family.members.get(child)
        near = nearest.get(child)
        for parent in parents or (None,):
            there = parent is not None and {parent, child} <= {*kl.index}
            root = graph.root[child]
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
                    "verdict": verdict(child, parent, near, kl, se) if parent else None,
                    "root": root,
                    "kl_to_root": kl.at[child, root] if from_root else np.nan,
                    "se_to_root": se.at[child, root] if from_root else np.nan,
                }
            )
    text = ["child", "parent", "nearest", "source", "relation", "verdict", "root"]
    return pd.DataFrame(rows).astype({"generation": "Int64", **dict.fromkeys(text, "string")})


def verdict(child: str, parent: str, near: str | None, kl: pd.DataFrame, se: pd.DataFrame) -> str:
    """What KL says of a claimed parent, given the nearest candidate."""
    if near is None or not {parent, child} <= {*kl.index}:
        return UNMEASURED
    if near == parent:
        return AGREES
    gap = kl.at[child, parent] - kl.at[child, near]
    # The two share their texts, so this is more cautious than two standard errors of the gap.
    return NEARER if gap > 2 * np.hypot(se.at[child, parent], se.at[child, near]) else CLOSE


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
