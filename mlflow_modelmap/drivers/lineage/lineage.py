"""Driver: the lineage of models - what each did to its parent, and whether the claims hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from mlflow import MlflowClient

from mlflow_modelmap.drivers.lineage.members import (
    Family,
    add_parents,
    claim_parents,
    gather,
    score_missing,
)
from mlflow_modelmap.drivers.lineage.table import drift, lineage_table, metrics_of
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.lineage.claimed_tree import lineage_tree
from mlflow_modelmap.figures.lineage.lineage_map import lineage_map
from mlflow_modelmap.figures.lineage.measured_tree import measured_tree_figure
from mlflow_modelmap.numerics.divergence.kl import kl_with_standard_error
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage, nearest_candidates
from mlflow_modelmap.numerics.lineage.claimed_graph import lineage as order
from mlflow_modelmap.numerics.lineage.measured_tree import (
    Agreement,
    compare_trees,
    minimum_spanning_tree,
    neighbour_joining,
)
from mlflow_modelmap.numerics.matrix.log_likelihoods import coordinates
from mlflow_modelmap.numerics.points.embedding import tsne
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.parents import (
    TAG_GENERATION,
    TAG_KL_TO_PARENT,
    TAG_KL_TO_PARENT_SE,
    TAG_LINEAGE_RUN,
    TAG_PARENT,
    RegisteredVersion,
    registered_versions,
    write_back,
)
from mlflow_modelmap.tracking.runs.select_runs import Point, read_matrix, select_runs
from mlflow_modelmap.tracking.runs.study_run import (
    load_study,
    points_table,
    square_table,
    write_study,
)
from mlflow_modelmap.tracking.store.client import check_reachable, experiment_id

PERPLEXITY = 20.0
"""Of Figure 2b."""


@dataclass(frozen=True, eq=False)
class LineageResult:
    """A lineage that has been measured.

    Attributes
    ----------
    run_id
        The run of kind ``lineage``.
    table
        One row a child and parent (a root has one row without a parent): ``child``, ``parent``,
        ``generation``, ``kl``, ``se``, ``nearest``, ``nearest_kl``, ``source``, ``relation``,
        ``verdict``, ``root``, ``kl_to_root``, ``se_to_root``; bits per byte, missing where not
        measured.
    agreement
        How far the claims agree with trees made without them.
    notices
        What was left out, contradictory or not to be found, a sentence each.
    """

    run_id: str
    table: pd.DataFrame
    agreement: Agreement
    notices: tuple[str, ...] = ()


def lineage(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    registered_models: str | None = None,
    texts: TextSet | str | os.PathLike[str] | None = None,
    score: bool = True,
    hub: bool = True,
    write_tags: bool = True,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
    output_experiment: str | None = None,
    run_id: str | None = None,
    progress: bool = True,
) -> LineageResult:
    """Measure what each model did to its parent, and compare claimed with measured lineage.

    Parents are those that, in this order, the user's tags name (``base_model`` or
    ``modelmap.base_model`` on a model version, registered model or run), MLflow's own links, and
    the Hub's metadata. Merges are shown and left out of parent-child statistics (Appendix G).

    Parameters
    ----------
    experiments, filter, run_ids
        Score runs that take part, as for a map. With none of them and no registered models, those
        of the current experiment.
    registered_models
        MLflow filter of registered models, such as ``name LIKE 'team-%'``; all their versions
        take part.
    texts
        Text set on which versions and parents without a score are scored. With several text sets
        among the runs, those scored on it are taken.
    score
        Whether to score them; if not, they are named.
    hub
        Whether the Hub is asked for parents.
    write_tags
        Whether model versions are tagged with parent, KL, its standard error, generation and run.
    settings
        Keyword arguments of `mlflow_modelmap.score`, such as ``{"precision": "float32"}``.
    seed
        Of the t-SNE in the figure.
    name, output_experiment, run_id
        Where it is logged; new scores go into the same experiment.

    Raises
    ------
    InputError
        If there is nothing to compare, no text set to score on, or a filter is malformed. Whatever
        concerns one model is a notice, and the others go on.
    """
    store = check_reachable()
    notices: list[str] = []
    experiments, run_ids = tuple(experiments), tuple(run_ids)
    versions = registered_versions(registered_models, store, notices) if registered_models else []
    where = output_experiment or (experiments[0] if len(experiments) == 1 else None)
    text_set = None
    if texts is not None:
        from mlflow_modelmap.drivers.score.score import load_texts

        text_set, _ = load_texts(texts)
    runs = _runs(experiments, filter, run_ids, where, bool(versions), text_set, notices, store)
    family = gather(versions, runs)
    claim_parents(family, list(family.members), hub, store, notices)
    added = add_parents(family, notices)
    claim_parents(family, added, hub, store, notices)
    _complete(family, score, text_set, where, settings or {}, progress, notices, store)
    graph = order(family.members, family.claims())
    _report_graph(graph, family, notices)
    return _measure(
        family,
        graph,
        notices,
        write_tags,
        {
            "registered_models": registered_models or "",
            "experiments": list(experiments),
            "filter": filter or "",
            "hub": hub,
            "seed": seed,
        },
        {"name": name or "lineage", "experiment": where, "run_id": run_id},
        store,
    )


def load_lineage(run_id: str) -> LineageResult:
    """What `lineage` logged in a run.

    Raises
    ------
    InputError, TrackingError
        If the run is not a finished run of kind ``lineage``, or damaged.
    """
    read = load_study(run_id, schema.KIND_LINEAGE, tables=("lineage", "agreement"))
    (row,) = read.tables["agreement"].to_dict("records")
    return LineageResult(run_id, read.tables["lineage"], Agreement(**row))


def _runs(
    experiments: tuple[str, ...],
    filter: str | None,
    run_ids: tuple[str, ...],
    where: str | None,
    registry: bool,
    text_set: TextSet | None,
    notices: list[str],
    store: MlflowClient,
) -> list[Point]:
    asked = bool(experiments or filter or run_ids) or not registry
    if not experiments and not filter and not run_ids:
        experiments = (store.get_experiment(experiment_id(where, store)).name,)
    try:
        runs = select_runs(experiments, filter, run_ids, notices=notices, store=store)
    except InputError:
        if asked and not registry:
            raise
        return []
    last = {run.run_id: run.vectors for run in runs if run.monitored}  # they come by step
    runs = [run for run in runs if run.vectors == last.get(run.run_id, run.vectors)]
    if not asked:  # nobody asked for whatever else lies in the experiment
        runs = [run for run in runs if run.model.startswith("models:/")]
    if text_set is not None:
        same = [
            run
            for run in runs
            if run.text_set == text_set.digest
            and run.tags.get(schema.TAG_TEXT_WEIGHTS) == text_set.weights_digest
        ]
        if len(same) < len(runs):
            notices.append(
                f"Left out {len(runs) - len(same)} runs that were scored on other texts (or "
                f"with other weights) than {text_set.name!r}."
            )
        return same
    return runs


def _complete(
    family: Family,
    score: bool,
    text_set: TextSet | None,
    where: str | None,
    settings: Mapping[str, Any],
    progress: bool,
    notices: list[str],
    store: MlflowClient,
) -> None:
    missing = [name for name, member in family.members.items() if member.run is None]
    if not missing:
        return
    listed = ", ".join(map(repr, missing[:10])) + (" ..." if len(missing) > 10 else "")
    if not score:
        notices.append(f"{len(missing)} models are not scored: {listed}.")
        return
    if text_set is None:
        raise InputError(
            f"{len(missing)} models are not scored yet ({listed}); say on which texts to score "
            "them, or leave them out with --no-score."
        )

    def score_one(reference: str, label: str | None) -> Point:
        from mlflow_modelmap.drivers.score.score import score as score_model

        made = score_model(
            reference, text_set, name=label, experiment=where, progress=progress, **settings
        )
        return select_runs(run_ids=[made.run_id], store=store)[0]

    score_missing(family, missing, score_one, notices)


def _report_graph(graph: Lineage, family: Family, notices: list[str]) -> None:
    for model in graph.self_parents:
        notices.append(f"{model!r} is named as its own parent; correct its tag base_model.")
    for cycle in graph.cycles:
        chain = " -> ".join(map(repr, (*cycle, cycle[0])))
        notices.append(f"The parents form a cycle, {chain}; correct one of their tags base_model.")
    for parent in graph.missing:
        children = [repr(child) for p, child in graph.edges if p == parent]
        notices.append(f"The parent {parent!r} of {', '.join(children)} was not measured.")
    for parent in dict.fromkeys(p for p, _ in graph.edges if p in family.members):
        if family.members[parent].run is None:
            children = [repr(child) for p, child in graph.edges if p == parent]
            notices.append(f"The parent {parent!r} of {', '.join(children)} was not measured.")


def _measure(
    family: Family,
    graph: Lineage,
    notices: list[str],
    write_tags: bool,
    params: Mapping[str, Any],
    destination: Mapping[str, Any],
    store: MlflowClient,
) -> LineageResult:
    measured = {name: m.run for name, m in family.members.items() if m.run is not None}
    if len(measured) < 2:
        raise InputError(
            f"{len(measured)} of {len(family.members)} models could be measured; a lineage needs "
            f"two ({' '.join(notices)})."
        )
    matrix, points = read_matrix(list(measured.values()))
    names = list(measured)
    q = coordinates(matrix)
    values, errors = kl_with_standard_error(q, matrix.shares)
    kl = pd.DataFrame(values, index=names, columns=names)
    se = pd.DataFrame(errors, index=names, columns=names)
    nearest = nearest_candidates(graph, kl)
    spanning, joined = minimum_spanning_tree(values), neighbour_joining(values)
    agreement = compare_trees(graph, names, nearest, spanning, joined)
    table = lineage_table(family, graph, kl, se, nearest)
    placed = tsne(q, 2, PERPLEXITY, int(params["seed"]), kl=values)
    table_points = points_table(points).assign(
        point=names,
        generation=pd.array([graph.generation[n] for n in names], dtype="Int64"),
        root=pd.array([graph.root[n] for n in names], dtype="string"),
        tsne2_1=placed.coordinates[:, 0],
        tsne2_2=placed.coordinates[:, 1],
    )
    ends = [names[k] if k < len(names) else f"branching {k}" for k in range(2 * len(names))]
    trees = pd.DataFrame(
        [
            (label, ends[a], ends[b], length)
            for label, tree in (("minimum spanning", spanning), ("neighbour joining", joined))
            for (a, b), length in zip(tree.edges.tolist(), tree.lengths.tolist(), strict=True)
        ],
        columns=["tree", "node", "other", "length"],
    )
    made = write_study(
        schema.KIND_LINEAGE,
        tables={
            "lineage": table,
            "points": table_points,
            "kl": square_table(names, values),
            "kl_standard_error": square_table(names, errors),
            "measured_trees": trees,
            "agreement": pd.DataFrame([asdict(agreement)]),
        },
        arrays={"coordinates": q},
        figures={
            "lineage_map": lineage_map(table_points, table),
            "lineage_tree": lineage_tree(table),
            "measured_tree": measured_tree_figure(joined, names, dict(graph.root)),
        },
        texts={
            "neighbour_joining.nwk": joined.newick(names),
            **({"notices.txt": "\n".join(notices)} if notices else {}),
        },
        metrics=metrics_of(table, graph, agreement),
        series=drift(table),
        params=params,
        members=points,
        weights=matrix.weights,
        store=store,
        **destination,
    )
    if write_tags:
        written = {n: m.version for n, m in family.members.items() if m.version is not None}
        notices += _tag_versions(written, table, made, store)
    return LineageResult(made, table, agreement, tuple(notices))


def _tag_versions(
    versions: Mapping[str, RegisteredVersion], table: pd.DataFrame, run: str, store: MlflowClient
) -> list[str]:
    said = []
    for child, rows in table[table["child"].isin(versions)].groupby("child", sort=False):
        parents = rows.dropna(subset=["kl"])
        tags: dict[str, object] = {TAG_LINEAGE_RUN: run}
        if rows["generation"].notna().all():
            tags[TAG_GENERATION] = int(rows["generation"].iloc[0])
        if len(parents):
            tags[TAG_PARENT] = ", ".join(parents["parent"])
            tags[TAG_KL_TO_PARENT] = ", ".join(f"{value:.6g}" for value in parents["kl"])
            tags[TAG_KL_TO_PARENT_SE] = ", ".join(f"{value:.3g}" for value in parents["se"])
        refused = write_back(versions[str(child)], tags, store)
        if refused:
            said.append(refused)
    return said
