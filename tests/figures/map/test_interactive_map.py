"""The interactive page as text: self-contained, of a bearable size, safe with any name."""

from __future__ import annotations

import json
import re

import pandas as pd

from mlflow_modelmap.figures.map.interactive_map import interactive_map

NASTY = "</script><script>alert(1)</script><!-- {{data}} & \u2028 $x$"


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def own_part(page: str) -> str:
    """The page without plotly.js."""
    scripts = re.findall(r"<script[^>]*>.*?</script>", page, re.DOTALL)
    return page.replace(max(scripts, key=len), "")


def test_the_page_holds_points_coordinates_and_nearest(generated):
    made = generated(10, trajectories=2)
    data = data_of(interactive_map(made.points, made.nearest, explained=(0.5, 0.2, 0.1)))
    assert data["names"] == list(made.points["point"])
    assert data["step"] == list(made.points["step"])
    for key, columns in {
        "pca3": ("pca_1", "pca_2", "pca_3"),
        "tsne2": ("tsne2_1", "tsne2_2"),
    }.items():
        for values, column in zip(data["coordinates"][key], columns, strict=True):
            pd.testing.assert_series_equal(
                pd.Series(values), made.points[column], check_names=False, rtol=1e-5
            )
    row = made.nearest[made.nearest["point"] == made.points["point"][4]]
    assert [data["names"][k] for k, _, _ in data["nearest"][4]] == list(row["neighbour"])
    assert [kl for _, kl, _ in data["nearest"][4]] == [float(f"{v:.6g}") for v in row["kl"]]
    assert [entry["column"] for entry in data["colourings"]] == [
        "model_type",
        "trajectory",
        "precision",
        "bits_per_byte",
    ]
    assert data["colourings"][data["colouring"]]["column"] == "trajectory"


def test_names_cannot_end_the_data_or_be_filled_in(generated):
    made = generated(4)
    first = made.points["point"][0]
    points = made.points.assign(point=made.points["point"].replace(first, NASTY))
    points["model_type"] = NASTY
    near = made.nearest.replace(first, NASTY)
    page = interactive_map(points, near, title=NASTY, subtitle=NASTY, notices=[NASTY])
    assert data_of(page)["names"][0] == " ".join(NASTY.split())
    assert "alert(1)</script>" not in own_part(page)
    assert own_part(page).count("<script") == 2


def test_the_page_loads_nothing_and_stores_nothing(generated):
    own = own_part(interactive_map(generated(4).points, generated(4).nearest))
    assert not re.search(r"(src|href)=|https?://|localStorage|sessionStorage|indexedDB|cookie", own)
    assert "default-src 'none'" in own
    assert "connect-src" not in own


def test_two_thousand_points_stay_near_five_megabytes(generated):
    made = generated(2000, types=14)
    assert len(interactive_map(made.points, made.nearest).encode()) < 5.6e6
