"""Driver: a lineage as an MLflow run - its tables, pictures and metrics - and tags on versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.measured import Measured
from mlflow_modelmap.drivers.lineage.study import LineageResult
from mlflow_modelmap.drivers.lineage.table import drift, metrics_of
from mlflow_modelmap.figures.lineage.claimed_tree import lineage_tree
from mlflow_modelmap.figures.lineage.lineage_map import lineage_map
from mlflow_modelmap.figures.lineage.measured_tree import measured_tree_figure
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage
from mlflow_modelmap.numerics.points.embedding import tsne
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import RegisteredVersion
from mlflow_modelmap.tracking.registry.write_back import write_back
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.runs.study_run import points_table, square_table, write_study

PERPLEXITY = 20.0
"""Of Figure 2b."""


def log_lineage(
    measured: Measured,
    graph: Lineage,
    versions: Mapping[str, RegisteredVersion],
    *,
    selection: Selection,
    notices: Sequence[str],
    params: Mapping[str, Any],
    seed: int,
    name: str | None,
    experiment: str | None,
    run_id: str | None,
    store: MlflowClient,
) -> LineageResult:
    """Log the run and tag the registered versions; what the run holds comes back.

    Parameters
    ----------
    versions
        Those that are tagged with what was found, by member.
    seed
        Of the t-SNE.
    """
    points = _points(measured, graph, seed)
    said = list(notices)

    def tag(run: str) -> list[str]:
        refused = _tag_versions(versions, measured.table, run, store)
        said.extend(refused)
        return refused

    made = write_study(
        schema.KIND_LINEAGE,
        tables={
            "lineage": measured.table,
            "points": points,
            "kl": square_table(measured.names, measured.kl.to_numpy()),
            "kl_standard_error": square_table(measured.names, measured.se.to_numpy()),
            "measured_trees": _trees(measured),
            "agreement": pd.DataFrame([asdict(measured.agreement)]),
        },
        arrays={"coordinates": measured.coordinates},
        figures={
            "lineage_map": lineage_map(points, measured.table),
            "lineage_tree": lineage_tree(measured.table),
            "measured_tree": measured_tree_figure(
                measured.joined, measured.leaves, _roots(measured, graph)
            ),
        },
        texts={"neighbour_joining.nwk": measured.joined.newick(measured.leaves)},
        metrics=metrics_of(measured.table, graph, measured.agreement),
        series=drift(measured.table),
        params={**params, "seed": seed},
        members=measured.points,
        weights=measured.text_weights,
        selection=selection,
        notices=notices,
        then=tag,
        name=name or "lineage",
        experiment=experiment,
        run_id=run_id,
        store=store,
    )
    return LineageResult(made, measured.table, measured.agreement, tuple(said))


def _points(measured: Measured, graph: Lineage, seed: int) -> pd.DataFrame:
    placed = tsne(measured.coordinates, 2, PERPLEXITY, seed, kl=measured.kl.to_numpy())
    names = measured.names
    return points_table(measured.points).assign(
        point=names,
        generation=pd.array([graph.generation[n] for n in names], dtype="Int64"),
        root=pd.array([graph.root[n] for n in names], dtype="string"),
        tsne2_1=placed.coordinates[:, 0],
        tsne2_2=placed.coordinates[:, 1],
    )


def _roots(measured: Measured, graph: Lineage) -> dict[str, str | None]:
    """The root of each leaf of the trees: of copies that of the first."""
    found: dict[str, str | None] = {}
    for name, node in zip(measured.names, measured.nodes, strict=True):
        found.setdefault(measured.leaves[node], graph.root[name])
    return found


def _trees(measured: Measured) -> pd.DataFrame:
    names = measured.leaves
    ends = [names[k] if k < len(names) else f"branching {k}" for k in range(2 * len(names))]
    trees = (("minimum spanning", measured.spanning), ("neighbour joining", measured.joined))
    return pd.DataFrame(
        [
            (label, ends[a], ends[b], length)
            for label, tree in trees
            for (a, b), length in zip(tree.edges.tolist(), tree.lengths.tolist(), strict=True)
        ],
        columns=["tree", "node", "other", "length"],
    )


def _tag_versions(
    versions: Mapping[str, RegisteredVersion], table: pd.DataFrame, run: str, store: MlflowClient
) -> list[str]:
    said = []
    for child, rows in table[table["child"].isin(versions)].groupby("child", sort=False):
        parents = rows.dropna(subset=["kl"])
        tags: dict[str, object] = {schema.TAG_LINEAGE_RUN: run}
        if rows["generation"].notna().all():
            tags[schema.TAG_GENERATION] = int(rows["generation"].iloc[0])
        if len(parents):
            tags[schema.TAG_PARENT] = ", ".join(parents["parent"])
            tags[schema.TAG_KL_TO_PARENT] = ", ".join(f"{value:.6g}" for value in parents["kl"])
            tags[schema.TAG_KL_TO_PARENT_SE] = ", ".join(f"{value:.3g}" for value in parents["se"])
        refused = write_back(versions[str(child)], tags, store)
        if refused:
            said.append(refused)
    return said
