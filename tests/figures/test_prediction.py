"""The picture of predicted scores shows what was predicted, and only that."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlflow_modelmap.figures.study.prediction import prediction_figure

SKILL = pd.DataFrame(
    {
        "predictor": ["map", "bits per byte", "mean"],
        "r": [0.9, 0.1, np.nan],
        "r_low": [0.5, -0.2, np.nan],
        "r_high": [0.95, 0.3, np.nan],
        "rmse": [1.5, 4.0, 5.0],
    }
)


def table(new: int) -> pd.DataFrame:
    names = [f"org/a-rather-long-name-of-model-{k}" for k in range(12 + new)]
    value = np.arange(12.0 + new)
    score = np.where(np.arange(12 + new) < 12, value, np.nan)
    return pd.DataFrame(
        {
            "benchmark": "mmlu $x$",
            "point": names,
            "group": [f"family {k % 3}" for k in range(12 + new)],
            "score": score,
            "predicted": value + 0.5,
            "low": np.where(np.isnan(score), value - 1, np.nan),
            "high": np.where(np.isnan(score), value + 3, np.nan),
        }
    )


def drawn(axes) -> np.ndarray:
    points = [c.get_offsets() for c in axes.collections if len(c.get_offsets())]
    found = np.concatenate([np.asarray(p) for p in points])
    return found[np.argsort(found[:, 0])]


def test_measured_lie_beside_predicted_and_new_ones_in_a_strip_with_intervals():
    figure = prediction_figure(table(4), SKILL)
    scatter, strip = figure.axes
    np.testing.assert_allclose(drawn(scatter), np.c_[np.arange(12.0), np.arange(12) + 0.5])
    (line,) = scatter.lines
    np.testing.assert_allclose(*line.get_xydata().T)
    (bars,) = (c for c in strip.collections if hasattr(c, "get_segments"))
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, np.c_[np.arange(11, 15), np.arange(15, 19)])
    assert "r = 0.90 (95 % interval 0.50 to 0.95)" in figure.get_suptitle()
    assert "1.5 points from the map; 4 from bits per byte alone" in figure.get_supxlabel()


def test_names_in_the_strip_do_not_overlap_and_many_points_have_none():
    figure = prediction_figure(table(30), SKILL)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[1].get_yticklabels()]
    assert len(boxes) == 30
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert len(prediction_figure(table(31), SKILL).axes[1].get_yticks()) == 0
    assert len(prediction_figure(table(0), SKILL).axes) == 1
