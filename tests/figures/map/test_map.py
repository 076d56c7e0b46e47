"""The map in two dimensions: the right points, lines and names."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.text import Annotation
from PIL import Image

from mlflow_modelmap.figures import style
from mlflow_modelmap.figures.map.map import colour_column, map_figure, paths


def one(figure, kind):
    return [c for c in figure.axes[0].collections if isinstance(c, kind)]


def test_paths_are_ordered_by_step_and_split_by_precision(generated):
    points = generated(8, trajectories=2).points.iloc[::-1].reset_index(drop=True)
    found = paths(points)
    assert set(found) == {"training 0", "training 1"}
    for rows in found.values():
        assert points["step"].iloc[rows].is_monotonic_increasing
    points["precision"] = pd.array(["float32", "int8"] * 4, dtype="string")
    points["trajectory"] = "one"
    split = paths(points)
    assert set(split) == {"one (float32)", "one (int8)"}
    assert all(points["precision"].iloc[rows].nunique() == 1 for rows in split.values())


def test_layers_of_a_model_are_a_path_and_single_points_are_none(generated):
    points = generated(4).points
    assert paths(points) == {}
    points["layer"] = pd.array([2, 0, 1, None], dtype="Int64")
    points["point"] = ["m layer 2", "m layer 0", "m layer 1", "other"]
    points["run_id"] = "r"
    assert {k: v.tolist() for k, v in paths(points).items()} == {"m": [1, 2, 0]}


@pytest.mark.parametrize("embedding", ["tsne", "pca"])
def test_points_stand_at_their_coordinates_in_their_colours(generated, embedding):
    made = generated(12)
    figure = map_figure(made.points, embedding)
    drawn = one(figure, PathCollection)[0]
    columns = ["pca_1", "pca_2"] if embedding == "pca" else ["tsne2_1", "tsne2_2"]
    np.testing.assert_array_equal(drawn.get_offsets(), made.points[columns].to_numpy())
    colours = style.colours(made.points["model_type"])
    assert [to_hex(c) for c in drawn.get_facecolors()] == [
        colours[name] for name in made.points["model_type"]
    ]
    labels = {t.get_text() for t in figure.axes[0].get_legend().get_texts()}
    assert labels == {"type 0", "type 1", "type 2"}


def test_pca_axes_carry_unit_and_share_and_equal_lengths(generated):
    axes = map_figure(generated(12).points, "pca", explained=(0.61, 0.2, 0.1)).axes[0]
    assert "61 % of variance" in axes.get_xlabel()
    assert "bits/byte" in axes.get_xlabel()
    assert axes.get_aspect() == 1.0


def test_lines_join_consecutive_steps_wider_where_kl_is_larger(generated):
    made = generated(40, trajectories=2)
    figure = map_figure(made.points, "pca", kl=made.kl)
    lines = one(figure, LineCollection)[0]
    xy = made.points[["pca_1", "pca_2"]].to_numpy()
    rows = np.concatenate(list(paths(made.points).values())).reshape(2, 20)
    start, end = rows[:, :-1].ravel(), rows[:, 1:].ravel()
    np.testing.assert_array_equal(np.array(lines.get_segments()), np.stack([xy[start], xy[end]], 1))
    widths = np.array(lines.get_linewidths())
    assert np.argmax(widths) == np.argmax(made.kl[start, end])
    assert np.argmin(widths) == np.argmin(made.kl[start, end])


def test_early_steps_are_paler(generated):
    made = generated(40, trajectories=2)
    colours = one(map_figure(made.points, "pca"), PathCollection)[0].get_facecolors()
    rows = paths(made.points)["training 0"]
    lightness = colours[rows, :3].sum(axis=1)
    assert (np.diff(lightness) < 0).all()


def test_names_cover_neither_each_other_nor_leave_the_picture(generated):
    figure = map_figure(generated(25).points, "pca")
    axes = figure.axes[0]
    figure.savefig(io.BytesIO(), dpi=150)
    figure.draw_without_rendering()
    notes = [t for t in axes.texts if isinstance(t, Annotation)]
    assert len(notes) > 5
    boxes = [note.get_window_extent() for note in notes]
    frame = figure.bbox
    for k, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        for other in boxes[k + 1 :]:
            assert (
                box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
            )


def test_what_colours_by_itself_is_what_tells_points_apart(generated):
    assert colour_column(generated(9).points) == "model_type"
    assert colour_column(generated(9, trajectories=3).points) == "trajectory"
    points = generated(9).points
    points["model_type"] = pd.array([None] * 9, dtype="string")
    assert colour_column(points) is None
    assert one(map_figure(points, "pca"), PathCollection)


def test_the_picture_is_not_empty(generated):
    file = io.BytesIO()
    map_figure(generated(5).points, "tsne", title="Map of $5").savefig(file, dpi=60)
    pixels = np.asarray(Image.open(file).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
