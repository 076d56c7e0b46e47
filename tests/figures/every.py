"""Every public figure, drawn from generated data in usual and in extreme cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mlflow_modelmap.figures.exact import by_domain_figure, token_kl_figure
from mlflow_modelmap.figures.gate import gate_figure
from mlflow_modelmap.figures.lineage.claimed_tree import lineage_tree
from mlflow_modelmap.figures.lineage.lineage_map import lineage_map
from mlflow_modelmap.figures.lineage.measured_tree import measured_tree_figure
from mlflow_modelmap.figures.map.bars import bars_figure
from mlflow_modelmap.figures.map.heatmap import heatmap_figure
from mlflow_modelmap.figures.map.map import map_figure
from mlflow_modelmap.numerics.gate.verdict import EXACT, INCREASE, KL, LimitDecision
from mlflow_modelmap.numerics.lineage.measured_tree import neighbour_joining
from tests.figures.cases import (
    Case,
    checkpoints,
    models,
    random,
    squared,
)
from tests.figures.study_cases import STUDIES
from tests.figures.trajectory_cases import TRAJECTORIES


def _map(embedding: str, of: str) -> Callable[[Case], Figure]:
    def make(case: Case) -> Figure:
        if of == "models":
            return map_figure(models(case), embedding, explained=(0.61, 0.004))
        points, _, q = checkpoints(case)
        return map_figure(points, embedding, explained=(0.61, 0.2), kl=squared(q))

    return make


def _bars(case: Case) -> Figure:
    points = models(case)
    value = points["bits_per_byte"].to_numpy()
    return bars_figure(
        list(points["point"]),
        value,
        0.03 * value,
        groups=points["model_type"].tolist(),
        groups_title="model type",
        texts=256,
    )


def _heatmap(case: Case) -> Figure:
    points = models(case)
    kl = squared(points[["pca_1", "pca_2", "pca_3"]].to_numpy())
    return heatmap_figure(
        kl,
        list(points["point"]),
        groups=points["model_type"].tolist(),
        groups_title="model type",
    )


def _tokens(case: Case) -> Figure:
    percent = np.r_[0.0, 50.0, 90, 99.0, 99.9, 99.99, 100.0]
    named = case.names(min(case.models, 40), "model")
    return token_kl_figure(
        pd.concat(
            pd.DataFrame(
                {
                    "pair": f"{named[0]} || {name}",
                    "percent": percent,
                    "kl": 1e-3 * (k + 1) * np.r_[0, 10.0 ** np.arange(6)],
                }
            )
            for k, name in enumerate(named[1:])
        )
    )


def _by_domain(case: Case) -> Figure:
    named = case.names(min(case.models, 40), "model")
    rows = [
        (f"{named[0]} || {name}", domain, 0.1 * (k + 1) * (j + 1), 0.01 * (k + 1))
        for k, name in enumerate(named[1:])
        for j, domain in enumerate(("code", "prose", "law"))
    ]
    return by_domain_figure(pd.DataFrame(rows, columns=["pair", "domain", "forward", "forward_se"]))


def _gate(case: Case) -> Figure:
    if case.models < 3:
        few = [LimitDecision(KL, 0.02, np.nan, np.nan, np.nan, 0.5, "undecided")]
        return gate_figure(few, 0.95)
    limits = [
        LimitDecision(KL, 16.0 if case.odd else 0.1, 0.02, 0.07, 0.17, 0.5, "pass"),
        LimitDecision(INCREASE, 0.0161, 0.0015, 0.0131, 0.0191, 0.01, "fail"),
        LimitDecision(EXACT, 0.0 if case.odd else 0.1, 0.01, 0.08, 0.12, 0.1, "undecided"),
    ]
    return gate_figure(limits, 0.95, bits_per_byte=(2.1, 2.08), difference=(0.0161, 0.0015))


def lineage(case: Case) -> pd.DataFrame:
    named = case.names(min(case.models, 40), "model")
    generation = np.minimum(np.arange(len(named)), 1 + np.arange(len(named)) % 3)
    parents = [None, *(named[max(0, k - 3) if g > 1 else 0] for k, g in enumerate(generation))]
    table = pd.DataFrame(
        {
            "child": named,
            "parent": pd.array([None, *parents[2:]], dtype="string"),
            "relation": pd.array([None] * len(named), dtype="string"),
            "root": pd.array([named[0]] * len(named), dtype="string"),
            "kl": np.linspace(0.01, 16 if case.odd else 0.5, len(named)),
            "se": np.linspace(0.001, 0.05, len(named)),
        }
    )
    depth = {named[0]: 0}
    for child, parent in zip(named[1:], parents[2:], strict=True):
        depth[child] = depth[str(parent)] + 1
    table["generation"] = pd.array([depth[n] for n in named], dtype="Int64")
    if case.odd:
        extra = table.iloc[-1:].assign(parent=named[0], relation="merge")
        alone = table.iloc[-2:-1].assign(
            child="alone", parent=None, root=None, generation=pd.array([None], dtype="Int64")
        )
        table = pd.concat([table, extra, alone], ignore_index=True)
    return table


def _lineage_map(case: Case) -> Figure:
    table = lineage(case)
    points = table.drop_duplicates("child").rename(columns={"child": "point"})
    where = random().normal(0, 20, (len(points), 2))
    return lineage_map(points.assign(tsne2_1=where[:, 0], tsne2_2=where[:, 1]), table)


def _lineage_tree(case: Case) -> Figure:
    return lineage_tree(lineage(case))


def _measured_tree(case: Case) -> Figure:
    named = case.names(min(case.models, 40), "model")
    roots = {name: f"root {k % 3}" if k % 5 else None for k, name in enumerate(named)}
    tree = neighbour_joining(squared(random().normal(size=(len(named), 4))))
    return measured_tree_figure(tree, named, roots)


OTHERS: dict[str, Callable[[Case], Figure]] = {
    "map_pca": _map("pca", "models"),
    "map_tsne": _map("tsne", "models"),
    "map_of_trainings": _map("pca", "trainings"),
    "bars": _bars,
    "heatmap": _heatmap,
    "token_kl": _tokens,
    "by_domain": _by_domain,
    "gate": _gate,
    "lineage_map": _lineage_map,
    "lineage_tree": _lineage_tree,
    "measured_tree": _measured_tree,
}
FIGURES = OTHERS | STUDIES | TRAJECTORIES
