"""Every public figure, drawn from generated data in usual and in extreme cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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
from mlflow_modelmap.figures.study.layers import exact_profiles, layer_profiles, layer_trajectories
from mlflow_modelmap.figures.study.prediction import prediction_figure
from mlflow_modelmap.figures.study.prompts import (
    additivity_figure,
    cosines_figure,
    directions_figure,
    shifts_figure,
)
from mlflow_modelmap.figures.study.quantization import (
    alignment_figure,
    quantisation_bars,
    quantised_map,
)
from mlflow_modelmap.figures.study.scale import scale_figure
from mlflow_modelmap.figures.trajectory.anomalies import continuity_figure, siblings_figure
from mlflow_modelmap.figures.trajectory.diffusion import displacement_figure, exponents_figure
from mlflow_modelmap.figures.trajectory.embedding_3d import late_figure, map_3d_figure
from mlflow_modelmap.figures.trajectory.kl import (
    kl_between_figure,
    kl_previous_figure,
    line_colours,
)
from mlflow_modelmap.figures.trajectory.oscillation import autocorrelation_figure
from mlflow_modelmap.figures.trajectory.pca import pca_pairs_figure, pca_steps_figure
from mlflow_modelmap.figures.trajectory.texts import (
    domains_figure,
    halves_figure,
    kl_after_removing_figure,
    text_scores_figure,
)
from mlflow_modelmap.figures.trajectory.weight_distances import weight_distances_figure
from mlflow_modelmap.figures.trajectory.weight_map import weights_map_figure
from mlflow_modelmap.numerics.gate.verdict import EXACT, INCREASE, KL, LimitDecision
from mlflow_modelmap.numerics.lineage.measured_tree import neighbour_joining
from mlflow_modelmap.numerics.trajectory.oscillation import Autocorrelation

LONG = "an-organisation/a-model-with-a-name-of-sixty-characters-v0.1"
ODD = ("naïve-Жук-λ", "a $1 {name}_^", LONG)


class Case(NamedTuple):
    """How much there is to draw."""

    models: int
    trainings: int
    checkpoints: int
    odd: bool = False

    def names(self, count: int, word: str) -> list[str]:
        made = [f"{word}-{k}-{(k % 5 + 1) * 70}m" for k in range(count)]
        return [*ODD, *made][:count] if self.odd else made


CASES = {
    "usual": Case(12, 4, 25),
    "fewest": Case(2, 1, 3),
    "many": Case(200, 40, 8),
    "odd": Case(9, 3, 12, odd=True),
}


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def models(case: Case) -> pd.DataFrame:
    """Models of a few types, some of none, with coordinates."""
    draw, count = random(), case.models
    kind = np.arange(count) % max(2, min(40, count // 3))
    where = draw.normal(0, 1, (kind.max() + 1, 3))[kind] + draw.normal(0, 0.25, (count, 3))
    table = pd.DataFrame(where, columns=["pca_1", "pca_2", "pca_3"])
    types = [f"type {k}" if k or count < 3 else None for k in kind]
    return table.assign(
        **dict(zip(("tsne2_1", "tsne2_2"), 20 * where.T[:2], strict=True)),
        point=case.names(count, "model"),
        run_id=[f"{k:032x}" for k in range(count)],
        trajectory=pd.array([None] * count, dtype="string"),
        step=pd.array([None] * count, dtype="Int64"),
        layer=pd.array([None] * count, dtype="Int64"),
        precision=pd.array(["float32"] * count, dtype="string"),
        model_type=pd.array(types, dtype="string"),
        bits_per_byte=1 + draw.random(count),
    )


def steps(case: Case) -> np.ndarray:
    return (
        2 ** np.arange(10, 10 + case.checkpoints)
        if case.checkpoints < 5
        else (np.r_[0, 1, 8, 64, 512, 1000 * np.arange(1, case.checkpoints - 4)])
    )


def checkpoints(case: Case) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Trainings as random walks of many dimensions, their rows, and the coordinates."""
    draw, at = random(), steps(case)
    names = case.names(case.trainings, "training")
    walks = draw.normal(0, 1, (len(names), len(at), 12)) * np.r_[4, 2, 0.5, np.full(9, 0.05)]
    q = np.concatenate(np.cumsum(walks, axis=1))
    rows = {name: np.arange(len(at)) + k * len(at) for k, name in enumerate(names)}
    table = pd.DataFrame(
        {
            "point": [f"{name} step {step}" for name in names for step in at],
            "run_id": [f"{k:032x}" for k in range(len(q))],
            "trajectory": np.repeat(names, len(at)),
            "step": np.tile(at, len(names)),
            "layer": pd.array([None] * len(q), dtype="Int64"),
            "precision": "float32",
            "model_type": "neox",
            "pca_1": q[:, 0],
            "pca_2": q[:, 1],
            "tsne2_1": q[:, 0],
            "tsne2_2": q[:, 1],
        }
    )
    return table, rows, q


def squared(q: np.ndarray) -> np.ndarray:
    return ((q[:, None] - q) ** 2).sum(axis=2)


def along(case: Case, *, zeros: bool = True) -> pd.DataFrame:
    """KL from the checkpoint before: smaller and smaller, with a 0 and a 16 where names are odd."""
    draw, at = random(), steps(case)
    parts = []
    for name in case.names(case.trainings, "training"):
        kl = 0.5 / np.arange(1, len(at)) * draw.lognormal(0, 0.2, len(at) - 1)
        if case.odd and zeros:
            kl[1], kl[-1] = 16.0, 0.0
        parts.append(
            pd.DataFrame(
                {
                    "trajectory": name,
                    "step_from": at[:-1],
                    "step": at[1:],
                    "kl": kl,
                    "se": 0.12 * kl,
                    "kl_per_1000_steps": kl / np.diff(at) * 1000,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def colours(case: Case) -> dict[str, str]:
    return line_colours(case.names(case.trainings, "training"))


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


def _between(case: Case) -> Figure:
    first = next(iter(colours(case)))
    table = along(case)
    if case.trainings == 1:
        table = pd.concat([table, table.assign(trajectory="another")])
    own = table[table["trajectory"] != first].assign(other=first)
    return kl_between_figure(own, {first: "#000000", **line_colours(own["trajectory"])})


def _continuity(space: str) -> Callable[[Case], Figure]:
    def make(case: Case) -> Figure:
        table = along(case, zeros=False).rename(columns={"kl": "distance"})
        table["trend"] = table["distance"] * 0.9
        last, at = list(colours(case))[-1], steps(case)
        flagged = pd.DataFrame(
            [(last, "spike", at[-2], at[-1]), (last, "gap", at[-2], at[-2])],
            columns=["trajectory", "kind", "step", "step_last"],
        )
        return continuity_figure(table, flagged, colours(case), space)

    return make


def _siblings(case: Case) -> Figure:
    names = list(colours(case))
    kl = np.linspace(0.1, 0.4, len(names))
    table = pd.DataFrame(
        {
            "family": "f",
            "trajectory": names,
            "step": 143_000,
            "kl_to_siblings": kl,
            "times_usual": kl / 0.1,
            "outlier": kl > 0.35,
        }
    )
    return siblings_figure(table)


def _displacement(case: Case) -> Figure:
    lags = 1000.0 * np.arange(1, 12)
    names = list(colours(case))
    draw = random()
    distances = pd.concat(
        pd.DataFrame(
            {
                "trajectory": name,
                "space": s,
                "lag": lags,
                "squared": lags**c * draw.lognormal(0, 0.2) / 5000,
            }
        )
        for name in names
        for s, c in (("q", 0.2), ("w", 1.0))
    )
    return displacement_figure(distances, _exponents_table(case, [1000]), colours(case), 120_000)


def _exponents_table(case: Case, starts: list[int]) -> pd.DataFrame:
    draw = random()
    return pd.DataFrame(
        [
            (name, s, t0, c := (0.2 if s == "q" else 0.9) + 0.1 * draw.random(), c - 0.3, c + 0.3)
            for name in colours(case)
            for s in "qw"
            for t0 in starts
        ],
        columns=["trajectory", "space", "t0", "exponent", "low", "high"],
    )


def _exponents(starts: int) -> Callable[[Case], Figure]:
    def make(case: Case) -> Figure:
        table = _exponents_table(case, [1000 * k for k in range(1, starts + 1)])
        return exponents_figure(table, colours(case), 10_000)

    return make


def _map_3d(case: Case) -> Figure:
    _, rows, q = checkpoints(case)
    return map_3d_figure(q[:, :3], rows, colours(case), squared(q))


def _late(case: Case) -> Figure:
    _, rows, q = checkpoints(case)
    at = steps(case)
    return late_figure({n: (at, q[r][:, :3]) for n, r in rows.items()}, colours(case))


def _autocorrelation(case: Case) -> Figure:
    lags = np.arange(0, 20_000, 1000)
    values = np.cos(2 * np.pi * lags / 6000) * np.exp(-lags / 2e4)
    band = np.full(lags.size, 0.3)
    return autocorrelation_figure(
        {
            name: {
                5.0: Autocorrelation(lags, values, 6000, -band, band),
                15.0: Autocorrelation(lags, 0.5 * values, None, -band, band),
                30.0: Autocorrelation(lags, 0.7 * values, 6000, -band, band),
            }
            for name in colours(case)
        }
    )


def _pca_pairs(case: Case) -> Figure:
    _, rows, q = checkpoints(case)
    share = np.r_[0.6, 0.3, 0.03, np.full(9, 0.007)]
    return pca_pairs_figure(q, share, rows, colours(case))


def _pca_steps(case: Case) -> Figure:
    _, rows, q = checkpoints(case)
    share = np.r_[0.6, 0.3, 0.03, np.full(9, 0.007)]
    at = dict.fromkeys(rows, steps(case))
    return pca_steps_figure(q, share, rows, at, colours(case))


def _texts(case: Case) -> Figure:
    sd = random().lognormal(1, 0.5, case.models * 10)
    dropped = sd > np.quantile(sd, 0.95)
    return text_scores_figure(
        pd.DataFrame({"text": range(len(sd)), "maximum": 5 * sd, "sd": sd, "dropped": dropped})
    )


def _removing(case: Case) -> Figure:
    table = pd.concat([along(case).assign(removed=k) for k in (0, 3, 6, 20)])
    return kl_after_removing_figure(table, list(colours(case)), 6)


def _halves(case: Case) -> Figure:
    kl = random().lognormal(-3, 1, case.models * 5)
    return halves_figure(kl, kl * 1.05, 0.99)


def _domains(case: Case) -> Figure:
    named = case.names(min(case.models, 8), "domain")
    table = pd.concat([along(case).assign(domain=d, texts=9 + k) for k, d in enumerate(named)])
    return domains_figure(table, list(colours(case)))


def _weight_distances(case: Case) -> Figure:
    return weight_distances_figure(along(case).rename(columns={"kl": "squared_distance"}))


def _weights_map(case: Case) -> Figure:
    _, rows, q = checkpoints(case)
    at = dict.fromkeys(rows, steps(case))
    return weights_map_figure({n: q[r][:, :2] for n, r in rows.items()}, at, colours(case))


def layers(case: Case) -> pd.DataFrame:
    draw = random()
    parts = []
    for k, name in enumerate(case.names(min(case.models, 40), "model")):
        depth = 3 if case.models < 3 else 12
        kl = draw.lognormal(0, 0.5, depth) * np.linspace(1, 0.1, depth)
        if case.odd:
            kl[1], kl[-1] = 16.0, 0.0
        parts.append(
            pd.DataFrame(
                {
                    "model": name,
                    "model_type": f"type {k % 2}" if k % 3 else None,
                    "layer": np.arange(1, depth + 1),
                    "kl": kl,
                    "se": 0.1 * kl,
                    "forward": kl,
                    "forward_se": 0.1 * kl,
                    "mean_log_likelihood": -900 + 50 * np.arange(depth),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _layer_paths(dimensions: int, by: str) -> Callable[[Case], Figure]:
    def make(case: Case) -> Figure:
        table = layers(case)
        steps_of = random().normal(0, 1, (len(table), dimensions))
        where = pd.DataFrame(steps_of).groupby(table["model"]).cumsum().to_numpy()
        return layer_trajectories(table, where, by)

    return make


def _prediction(case: Case) -> Figure:
    draw, count = random(), case.models
    score = 30 + 40 * draw.random(count)
    with np.errstate(invalid="ignore"):
        known = np.arange(count) < max(2, 0.8 * count)
    value = score + draw.normal(0, 3, count)
    table = pd.DataFrame(
        {
            "benchmark": "mmlu",
            "point": case.names(count, "model"),
            "group": [f"family {k % 40}" if k % 7 or count < 3 else "none" for k in range(count)],
            "score": np.where(known, score, np.nan),
            "predicted": value,
            "low": np.where(known, np.nan, value - 8),
            "high": np.where(known, np.nan, value + 8),
        }
    )
    skill = pd.DataFrame(
        {
            "predictor": ["map", "bits per byte", "mean"],
            "r": [0.9, 0.1, np.nan],
            "r_low": [0.5, -0.2, np.nan],
            "r_high": [0.95, 0.3, np.nan],
            "rmse": [1.5, 4.0, 5.0],
        }
    )
    return prediction_figure(table, skill)


def prompts(case: Case) -> pd.DataFrame:
    prompted = case.names(min(case.models, 40), "prompt")
    named = ["SmolLM2", "Qwen2.5"] if case.models > 2 else ["SmolLM2"]
    kl = random().lognormal(-2, 1, len(prompted) * len(named))
    if case.odd:
        kl[0], kl[-1] = 16.0, 0.0
    return pd.DataFrame(
        {
            "model": named * len(prompted),
            "prompt": np.repeat(prompted, len(named)),
            "kl": kl,
            "se": 0.1 * kl,
        }
    )


def _shifts(case: Case) -> Figure:
    return shifts_figure(prompts(case))


def _added(case: Case, shifts: pd.DataFrame) -> pd.DataFrame:
    added = shifts.tail(max(1, len(shifts) // 4))[["model", "prompt"]].reset_index(drop=True)
    return added.assign(
        unexplained=0.1, unexplained_se=0.03, unexplained_by_one=0.4, unexplained_by_one_se=0.05
    )


def _directions(case: Case) -> Figure:
    shifts = prompts(case)
    vectors = random().normal(0, 1, (len(shifts), 30)) * np.sqrt(shifts["kl"]).to_numpy()[:, None]
    added = _added(case, shifts)
    return directions_figure(shifts, vectors, added, 0.9 * vectors[-len(added) :])


def _cosines(case: Case) -> Figure:
    shifts = prompts(case)
    count = len(shifts)
    pairs = count * (count - 1) // 2
    return cosines_figure(shifts, pd.DataFrame({"cosine": random().uniform(-1, 1, pairs)}))


def _additivity(case: Case) -> Figure:
    return additivity_figure(_added(case, prompts(case)))


def copies(case: Case) -> pd.DataFrame:
    named = case.names(min(case.models, 40), "model")
    precisions = ["int8", "nf4", "Q4_K_M"] if case.models > 2 else ["int8"]
    kl = random().lognormal(-4, 1, len(named) * len(precisions))
    if case.odd:
        kl[0], kl[-1] = 16.0, 0.0
    return pd.DataFrame(
        {
            "model": np.repeat(named, len(precisions)),
            "precision": precisions * len(named),
            "kl": kl,
            "se": 0.1 * kl,
            "exact_forward": 1.2 * kl,
        }
    )


def _quantised_map(case: Case) -> Figure:
    pairs = copies(case)
    named = list(dict.fromkeys(pairs["model"]))
    kinds = {name: f"type {k % 3}" if k % 4 else None for k, name in enumerate(named)}
    pairs["copy"] = pairs["model"] + " " + pairs["precision"]
    points = pd.DataFrame(
        {
            "point": [*named, *pairs["copy"]],
            "model_type": [*kinds.values(), *pairs["model"].map(kinds)],
            "precision": [*["float32"] * len(named), *pairs["precision"]],
        }
    )
    draw = random()
    base = dict(zip(named, draw.normal(0, 20, (len(named), 2)), strict=True))
    originals = [*named, *pairs["model"]]
    where = np.array([base[name] for name in originals]) + draw.normal(0, 2, (len(points), 2))
    return quantised_map(points, where, pairs.rename(columns={"model": "original"}))


def _alignment(case: Case) -> Figure:
    named = case.names(max(1, min(case.models // 2, 40)), "type")
    value = random().uniform(0.2, 0.9, len(named))
    return alignment_figure(
        pd.DataFrame(
            {
                "model_type": named,
                "models": 3,
                "mean": value,
                "low": value - 0.1,
                "high": value + 0.1,
                "random_mean": 0.05,
                "random_low": -0.1,
                "random_high": 0.2,
            }
        ),
        1000,
    )


def _scale(case: Case) -> Figure:
    draw = random()
    size = {"Later": 40, "Seed": 7, "8-bit": 3, "FT": 1, "Random": 300}
    if case.models < 3:
        size = {"Seed": 3}
    if case.odd:
        size |= {ODD[0]: 12, LONG: 12}
    groups = {name: draw.lognormal(k - 4, 0.7, n) for k, (name, n) in enumerate(size.items())}
    if case.odd:
        groups["FT"], groups["Random"][:2] = np.array([16.0]), [0.0, 16.0]
    paper = {"Later": 0.011, "Seed": 0.12, "8-bit": 0.44, "FT": 0.4, "Random": 2.2}
    return scale_figure(
        groups,
        pd.DataFrame(
            {
                "group": list(groups),
                "median": [np.median(v) for v in groups.values()],
                "n": [len(v) for v in groups.values()],
                "paper_median": [paper.get(name) for name in groups],
            }
        ),
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


FIGURES: dict[str, Callable[[Case], Figure]] = {
    "map_pca": _map("pca", "models"),
    "map_tsne": _map("tsne", "models"),
    "map_of_trainings": _map("pca", "trainings"),
    "bars": _bars,
    "heatmap": _heatmap,
    "kl_previous": lambda case: kl_previous_figure(along(case), colours(case), 1000),
    "kl_per_1000_steps": lambda case: kl_previous_figure(
        along(case), colours(case), 1000, per_step=True
    ),
    "kl_between": _between,
    "continuity_kl": _continuity("q"),
    "continuity_weights": _continuity("w"),
    "siblings": _siblings,
    "displacement": _displacement,
    "exponents": _exponents(20),
    "exponents_of_few": _exponents(1),
    "map_3d": _map_3d,
    "late_3d": _late,
    "autocorrelation": _autocorrelation,
    "pca_pairs": _pca_pairs,
    "pca_steps": _pca_steps,
    "text_scores": _texts,
    "kl_after_removing": _removing,
    "halves": _halves,
    "domains": _domains,
    "weight_distances": _weight_distances,
    "weights_map": _weights_map,
    "layer_profiles": lambda case: layer_profiles(layers(case)),
    "layer_profiles_exact": lambda case: exact_profiles(layers(case)),
    "layers_by_depth": _layer_paths(2, "depth"),
    "layers_by_likelihood": _layer_paths(2, "mean_log_likelihood"),
    "layers_3d": _layer_paths(3, "depth"),
    "prediction": _prediction,
    "prompt_shifts": _shifts,
    "prompt_directions": _directions,
    "prompt_cosines": _cosines,
    "prompt_additivity": _additivity,
    "quantised_map": _quantised_map,
    "quantisation_bars": lambda case: quantisation_bars(copies(case)),
    "alignment": _alignment,
    "scale": _scale,
    "token_kl": _tokens,
    "by_domain": _by_domain,
    "gate": _gate,
    "lineage_map": _lineage_map,
    "lineage_tree": _lineage_tree,
    "measured_tree": _measured_tree,
}
