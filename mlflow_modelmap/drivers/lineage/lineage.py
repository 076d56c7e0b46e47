"""Driver: the lineage of models - what each did to its parent, and whether the claims hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient

from mlflow_modelmap.drivers.exact.exact import ExactOptions
from mlflow_modelmap.drivers.lineage.claims import add_parents, claim_parents
from mlflow_modelmap.drivers.lineage.exact_edges import with_exact_edges
from mlflow_modelmap.drivers.lineage.measured import measure
from mlflow_modelmap.drivers.lineage.members import Family, gather
from mlflow_modelmap.drivers.lineage.missing import complete
from mlflow_modelmap.drivers.lineage.record import log_lineage
from mlflow_modelmap.drivers.lineage.study import LineageResult
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.lineage.claimed_graph import Lineage
from mlflow_modelmap.numerics.lineage.claimed_graph import lineage as order
from mlflow_modelmap.texts.text_set import TextSet
from mlflow_modelmap.tracking import schema
from mlflow_modelmap.tracking.registry.versions import registered_versions
from mlflow_modelmap.tracking.runs.point import Point
from mlflow_modelmap.tracking.runs.selection import Selection
from mlflow_modelmap.tracking.store.client import check_reachable
from mlflow_modelmap.words.counted import counted
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason
from mlflow_modelmap.words.vectors import CONDITIONAL


def lineage(
    experiments: Iterable[str] = (),
    filter: str | None = None,
    run_ids: Iterable[str] = (),
    *,
    vector: str = CONDITIONAL,
    registered_models: str | None = None,
    texts: TextSet | str | os.PathLike[str] | None = None,
    score: bool = True,
    hub: bool = True,
    write_tags: bool = True,
    settings: Mapping[str, Any] | None = None,
    exact: bool = False,
    options: ExactOptions | None = None,
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
    vector
        Which vectors of the models: ``conditional``, ``unconditional`` or ``pmi``; for the last two
        models that are scored now are scored without prompts too, and no version is tagged.
    registered_models
        MLflow filter of registered models, such as ``name LIKE 'team-%'``; all their versions
        take part.
    texts
        Text set on which versions and parents without a score are scored. With several text sets
        among the runs, those scored on it are taken.
    score
        Whether to score them; if not, they are named.
    hub
        Whether the Hub is asked: who a model's parent is, and for parents without a score.
    write_tags
        Whether model versions are tagged with parent, KL, its standard error, generation and run.
    settings
        Keyword arguments of `mlflow_modelmap.score`, such as ``{"precision": "float32"}``.
        ``trust_remote_code`` holds for the registered versions that were asked for, never for
        parents that tags, cards or links name.
    exact, options
        Whether each child is also compared with its parent token by token, and how; an edge for
        which that fails is named in a notice. No code that comes with a model is run for it.
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
    asked = Selection.of(experiments, filter, run_ids, vector)
    store = check_reachable()
    notices: list[str] = []
    versions = registered_versions(registered_models, store, notices) if registered_models else []
    only = asked.experiments[0] if len(asked.experiments) == 1 else None
    where = output_experiment or only
    text_set = None
    if texts is not None:
        from mlflow_modelmap.drivers.score.texts import load_texts

        text_set = load_texts(texts)
    how = {**(settings or {}), **({} if vector == CONDITIONAL else {"unconditional": True})}
    runs, selection = _runs(asked, where, bool(versions), notices, store)
    if text_set is not None:
        runs = _on_texts(runs, text_set, notices)
    family = gather(versions, runs)
    claim_parents(family, list(family.members), hub, store, notices)
    added = add_parents(family, notices)
    claim_parents(family, added, hub, store, notices)
    complete(family, score, hub, text_set, where, how, progress, notices, store)
    graph = order(family.members, family.claims())
    _report_graph(graph, family, notices)
    tagged = {n: m.version for n, m in family.members.items() if m.version is not None}
    measured = measure(family, graph, notices, asked.run_ids, vector)
    exact_run = None
    if exact:
        table, exact_run = with_exact_edges(
            measured.table,
            measured.names,
            measured.points,
            replace(options or ExactOptions(texts=text_set), trusted_code=()),
            notices,
            experiment=where,
            progress=progress,
            store=store,
        )
        measured = replace(measured, table=table)
    return log_lineage(
        measured,
        graph,
        tagged if write_tags and vector == CONDITIONAL else {},
        selection=selection,
        notices=notices,
        params={
            "registered_models": registered_models or "",
            "hub": hub,
            **({} if exact_run is None else {"exact_run": exact_run}),
        },
        seed=seed,
        name=name,
        experiment=where,
        run_id=run_id,
        store=store,
    )


def _runs(
    asked: Selection, where: str | None, registry: bool, notices: list[str], store: MlflowClient
) -> tuple[list[Point], Selection]:
    """The score runs that take part - of each training the last checkpoint - and their choice.

    Beside registered models nobody need ask for runs; those of the experiment at hand that are of
    registered versions take part then.
    """
    try:
        selected = select(
            asked.experiments,
            asked.filter,
            asked.run_ids,
            vector=asked.vector,
            otherwise=where,
            store=store,
        )
    except InputError as error:
        if not registry:
            raise
        if asked:
            notices.append(
                f"No score runs take part beside the registered models: {reason(error)}."
            )
        return [], asked
    notices += selected.notices
    last = {run.run_id: run.vectors for run in selected.runs if run.monitored}  # they come by step
    models = [run for run in selected.runs if run.layer is None]
    runs = [run for run in models if run.vectors == last.get(run.run_id, run.vectors)]
    if registry and not asked:
        return [run for run in runs if run.model.startswith("models:/")], asked
    return runs, selected.selection


def _on_texts(runs: list[Point], text_set: TextSet, notices: list[str]) -> list[Point]:
    same = [
        run
        for run in runs
        if run.text_set == text_set.digest
        and run.tags.get(schema.TAG_TEXT_WEIGHTS) == text_set.weights_digest
    ]
    if len(same) < len(runs):
        notices.append(
            f"Left out {counted(len(runs) - len(same), 'run')} scored on other texts (or with "
            f"other weights) than {text_set.name!r}."
        )
    return same


def _report_graph(graph: Lineage, family: Family, notices: list[str]) -> None:
    for model in graph.self_parents:
        notices.append(f"{model!r} is named as its own parent; correct its tag base_model.")
    for cycle in graph.cycles:
        chain = " -> ".join(map(repr, (*cycle, cycle[0])))
        notices.append(f"The parents form a cycle, {chain}; correct one of their tags base_model.")
    for parent in graph.missing:
        notices.append(_not_measured(parent, graph))
    for parent in dict.fromkeys(p for p, _ in graph.edges if p in family.members):
        if family.members[parent].run is None:
            children = [repr(child) for p, child in graph.edges if p == parent]
            notices.append(f"The parent {parent!r} of {', '.join(children)} was not measured.")


def _not_measured(parent: str, graph: Lineage) -> str:
    children = listed([child for p, child in graph.edges if p == parent])
    return f"The parent {parent!r} of {children} was not measured."
