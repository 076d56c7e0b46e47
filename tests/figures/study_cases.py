"""Every figure of layers, scores, prompts, quantised copies and the scale, of generated data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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
from tests.figures.cases import (
    LONG,
    ODD,
    Case,
    random,
)


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


STUDIES: dict[str, Callable[[Case], Figure]] = {
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
}
