"""Pictures of exact comparisons: what is drawn is what was measured, and nothing that was not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.figures.exact import by_domain_figure, token_kl_figure


def test_a_line_a_pair_shows_the_share_of_tokens_above_each_kl():
    percent = np.array([0.0, 50.0, 99.0, 100.0])
    kl = {"a || b": np.array([0.0, 1e-3, 1e-1, 2.0]), "a || c": np.array([1e-4, 1e-2, 1.0, 5.0])}
    table = pd.concat(
        [pd.DataFrame({"pair": n, "percent": percent, "kl": v}) for n, v in kl.items()]
    )
    (axes,) = token_kl_figure(table).axes
    assert len(axes.lines) == 2
    first, second = (line.get_xydata() for line in axes.lines)
    assert first.tolist() == [[1e-3, 50.0], [1e-1, 1.0]]  # no 0 on an axis of logarithms
    assert second.tolist() == [[1e-4, 100.0], [1e-2, 50.0], [1.0, 1.0]]


def test_a_domain_without_an_error_has_no_error_bar():
    table = pd.DataFrame(
        {
            "pair": "a || b",
            "domain": ["code", "prose"],
            "forward": [0.1, 0.2],
            "forward_se": [0.01, np.nan],
        }
    )
    (axes,) = by_domain_figure(table).axes
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2]
    lengths = [
        float(np.ptp(segment[:, 0]))
        for bars in axes.collections
        for segment in bars.get_segments()
        if segment.size and np.isfinite(segment).all()
    ]
    np.testing.assert_allclose(lengths, [2 * 1.96 * 0.01], rtol=1e-3)


def test_error_bars_of_few_texts_are_as_long_as_students_t_says():
    table = pd.DataFrame(
        {
            "pair": "a || b",
            "domain": ["code"],
            "texts": [10],
            "forward": [0.1],
            "forward_se": [0.01],
        }
    )
    (axes,) = by_domain_figure(table).axes
    (bars,) = (bars for bars in axes.collections if len(bars.get_segments()))
    assert np.ptp(bars.get_segments()[0][:, 0]) == pytest.approx(2 * 2.262 * 0.01, rel=1e-3)
