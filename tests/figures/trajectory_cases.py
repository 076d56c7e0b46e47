"""Every figure of trainings along their steps, of generated data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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
from mlflow_modelmap.numerics.trajectory.oscillation import Autocorrelation
from tests.figures.cases import (
    Case,
    along,
    checkpoints,
    colours,
    random,
    squared,
    steps,
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


TRAJECTORIES: dict[str, Callable[[Case], Figure]] = {
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
}
