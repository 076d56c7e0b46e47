"""Figures of trajectories on generated data: what is drawn and named, odd names and shapes."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.figures.trajectory import anomalies as trajectory_anomalies
from mlflow_modelmap.figures.trajectory import diffusion as trajectory_diffusion
from mlflow_modelmap.figures.trajectory import kl as trajectory_kl
from mlflow_modelmap.figures.trajectory import shapes as views
from mlflow_modelmap.figures.trajectory import texts
from mlflow_modelmap.figures.trajectory.kl import line_colours

ODD = ["a $1 training_{of", "b" * 60]
STEPS = np.arange(1000, 31_000, 1000)


def drawn(figure):
    """The figure as PNG bytes; drawing is what finds most mistakes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60)
    return buffer.getvalue()


def words(figure):
    """Every text in a figure."""
    drawn(figure)
    return " | ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def kl_table(names, steps=STEPS):
    rng = np.random.default_rng(0)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "trajectory": name,
                    "step_from": steps[:-1],
                    "step": steps[1:],
                    "kl": 0.02 * rng.lognormal(0, 0.2, len(steps) - 1),
                    "se": 0.002,
                    "kl_per_1000_steps": 0.02,
                }
            )
            for name in names
        ]
    )


def diffusion_table(names, starts=STEPS[:20], spaces=("q", "w")):
    return pd.DataFrame(
        [
            (name, space, t0, 0.2 if space == "q" else 1.0, 0.1, 1.2, 0.9)
            for name in names
            for space in spaces
            for t0 in starts
        ],
        columns=["trajectory", "space", "t0", "exponent", "low", "high", "r2"],
    )


@pytest.mark.parametrize("names", [ODD[:1], ODD], ids=["one", "two"])
def test_kl_figures_name_their_axes_and_trajectories(names):
    colours = line_colours(names)
    table = kl_table(names)
    early = trajectory_kl.kl_previous_figure(table, colours, 10_000)
    assert len(early.axes) == 2
    said = words(early)
    assert "KL divergence (bits/byte)" in said
    assert "training step" in said
    assert ("bbb…bbb" in said) == (len(names) == 2)
    assert len(trajectory_kl.kl_previous_figure(table, colours, 0).axes) == 1
    per_step = words(trajectory_kl.kl_previous_figure(table, colours, 0, per_step=True))
    assert "KL per 1,000 steps" in per_step
    late = trajectory_kl.kl_late_figure(table, colours, 20_000)
    assert len(late.axes) == len(names)
    assert r"a \$1 training" in words(late)
    assert r"\\" not in words(late)


def test_bands_are_drawn_where_they_can_be_told_apart():
    few = trajectory_diffusion.exponents_figure(diffusion_table(["a"]), line_colours(["a"]), 10_000)
    assert len(few.axes[0].collections) == 2
    assert "95 % interval" in words(few)
    names = [f"t{k}" for k in range(5)]
    many = trajectory_diffusion.exponents_figure(
        diffusion_table(names), line_colours(names), 10_000
    )
    assert len(many.axes[0].collections) == 0
    assert "interval" not in words(many)


def test_few_starts_are_dots_with_intervals():
    table = diffusion_table(ODD, starts=[1000])
    said = words(trajectory_diffusion.exponents_figure(table, line_colours(ODD), 896))
    assert "over 896 steps from 1k" in said
    assert "weights" in said


def test_displacements_say_their_exponents():
    lags = np.arange(1000, 11_000, 1000)
    distances = pd.concat(
        [
            pd.DataFrame({"trajectory": ODD[0], "space": s, "lag": lags, "squared": lags**c})
            for s, c in (("q", 0.2), ("w", 1.0))
        ]
    )
    fits = diffusion_table(ODD[:1], starts=[120_000])
    figure = trajectory_diffusion.displacement_figure(
        distances, fits, line_colours(ODD[:1]), 120_000
    )
    said = words(figure)
    assert "c = 0.20" in said
    assert "steps since 120k" in said
    assert "squared weight distance" in said


def test_anomalies_are_marked_and_named():
    table = kl_table(ODD).rename(columns={"kl": "distance"}).assign(trend=0.02)
    flagged = pd.DataFrame(
        {"trajectory": [ODD[1]], "kind": ["spike"], "step": [20_000], "step_last": [22_000]}
    )
    figure = trajectory_anomalies.continuity_figure(table, flagged, line_colours(ODD), "w")
    said = words(figure)
    assert "spike 20k" in said
    assert "squared distance" in said
    siblings = pd.DataFrame(
        {
            "trajectory": ODD,
            "step": 143_000,
            "kl_to_siblings": [0.1, 0.3],
            "times_usual": [1.0, 3.0],
            "outlier": [False, True],
        }
    )
    assert "3.0 times the usual" in words(trajectory_anomalies.siblings_figure(siblings))


def test_texts_are_drawn_as_kept_and_dropped():
    rng = np.random.default_rng(1)
    sd = rng.lognormal(1, 0.5, 200)
    table = pd.DataFrame({"text": range(200), "maximum": 5 * sd, "sd": sd, "dropped": sd > 6})
    said = words(texts.text_scores_figure(table))
    assert f"dropped: {(sd > 6).sum()} texts" in said
    assert "nats" in said
    removing = pd.concat([kl_table(ODD).assign(removed=k) for k in (0, 3, 6, 20)])
    said = words(texts.kl_after_removing_figure(removing, ODD, 6))
    assert "6 removed (chosen)" in said
    domains = pd.concat([kl_table(ODD).assign(domain=d, texts=9) for d in ("law", "$x_{")])
    assert "law (9)" in words(texts.domains_figure(domains, ODD))
    kl = rng.lognormal(-3, 1, 300)
    assert "r = 0.9900" in words(texts.halves_figure(kl, kl * 1.05, 0.99))


def test_shapes_of_one_and_of_several_trajectories():
    rng = np.random.default_rng(2)
    points = rng.standard_normal((40, 12))
    rows = {ODD[0]: np.arange(20), ODD[1]: np.arange(20, 40)}
    steps = dict.fromkeys(ODD, STEPS[:20])
    colours = line_colours(ODD)
    kl = np.abs(rng.standard_normal((40, 40)))
    assert drawn(views.map_3d_figure(points[:, :3], rows, colours, kl))
    assert len(views.pca_pairs_figure(points, np.full(12, 0.05), rows, colours).axes) == 2
    assert len(views.pca_pairs_figure(points[:, :5], np.full(5, 0.1), rows, colours).axes) == 1
    assert "PC 12" in words(views.pca_steps_figure(points, rows, steps, colours))
    late = {name: (STEPS[:20], points[rows[name]][:, :3]) for name in ODD}
    assert "1k to 20k" in words(views.late_figure(late, colours))
    paths = {ODD[0]: points[:20, :2]}
    assert "from 1k" in words(views.weights_map_figure(paths, steps, colours))
