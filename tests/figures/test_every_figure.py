"""What holds of every figure: it says what to see, names its axes with units, and overlaps nothing.

Each public figure is drawn in extreme cases: two points, forty groups, long and foreign names, a
KL of 0 beside one of 16; what holds of some is looked at in a usual one.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Annotation

from mlflow_modelmap import figures
from mlflow_modelmap.figures import style
from tests.figures.cases import CASES, along, colours
from tests.figures.every import FIGURES

UNITS = (
    *("bits/byte", "bits per byte", "nats", "no unit", "%", "training step", "points"),
    *("layer", "generation"),
)
# Axes that list names, one below the other, and those that only carry a colour or a tree.
NAMES = ("gate", "exponents_of_few", "siblings", "bars", "heatmap", "prompt_shifts", "by_domain")
LISTED = (
    *NAMES,
    *("prompt_cosines", "prompt_additivity", "quantisation_bars", "alignment", "scale"),
    *("lineage_tree", "measured_tree", "prediction"),
)
SYMBOLS = re.compile(r"\b(q|w|t0|c|PC ?\d|Q|W|L)\b")


def public() -> set[str]:
    """Every function of the package that gives a figure."""
    found = set()
    for module in pkgutil.walk_packages(figures.__path__, "mlflow_modelmap.figures."):
        for name, made in inspect.getmembers(importlib.import_module(module.name)):
            own = inspect.isfunction(made) and made.__module__ == module.name
            if own and not name.startswith("_") and made.__annotations__.get("return") == "Figure":
                found.add(name)
    return found - {"figure"}


def texts_of(figure: Figure) -> str:
    return " | ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def labels_of(figure: Figure, name: str) -> list[str]:
    """What the axes are called that measure something."""
    found = []
    for axes in figure.axes:
        three = getattr(axes, "zaxis", None)
        for axis in filter(None, (axes.xaxis, axes.yaxis, three)):
            label = axis.get_label_text()
            if label:
                found.append(label)
            elif name not in LISTED and axes.axison and axes.get_label() != "<colorbar>":
                inner = [a for a in figure.axes if a is not axes]
                assert inner, f"an axis of {name} has no name"
    return found


def test_no_figure_is_forgotten():
    written = Path(__file__).parent
    source = "".join(
        (written / f"{name}.py").read_text(encoding="utf-8")
        for name in ("every", "study_cases", "trajectory_cases")
    )
    missing = {name for name in public() if not re.search(rf"\b{name}\(", source)}
    assert not missing


@pytest.mark.parametrize("case", [case for case in CASES if case != "usual"])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_what_to_see_and_nothing_overlaps(name, case):
    figure = FIGURES[name](CASES[case])
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # drawing is what finds most mistakes
    title, said = figure.get_suptitle(), texts_of(figure)
    assert "?" in title, "a question that the picture answers"
    assert len(title.split()) >= 5, title
    labels = labels_of(figure, name)
    assert labels
    for label in labels:
        assert not SYMBOLS.search(label), label
        counted = label.startswith(("every ", "number of ", "the same points"))
        named = name in LISTED and not re.search(r"\d", label)
        assert counted or named or any(unit in label for unit in UNITS), label
    assert not re.search(r"\bSE\b|± 1", said), "the interval is 95 % everywhere"
    inside(figure)
    apart(figure)
    grey_is_said(figure, said)


def inside(figure: Figure) -> None:
    """Title, caption, legends and names of axes end within the picture."""
    renderer = figure.canvas.get_renderer()
    found = [figure._suptitle, figure._supxlabel, *figure.legends]
    for axes in figure.axes:
        found += [axes.xaxis.label, axes.yaxis.label, axes.get_legend()]
    for part in filter(None, found):
        if isinstance(part, Legend) or part.get_text():
            box, frame = part.get_window_extent(renderer), figure.bbox
            assert box.x0 >= frame.x0 - 1, part
            assert box.y0 >= frame.y0 - 1, part
            assert box.x1 <= frame.x1 + 1, part
            assert box.y1 <= frame.y1 + 1, part


def apart(figure: Figure) -> None:
    """Title, caption, legends, names beside points and tick labels do not cover each other."""
    renderer = figure.canvas.get_renderer()
    blocks = [part for part in (figure._suptitle, figure._supxlabel, *figure.legends) if part]
    disjoint([b.get_window_extent(renderer) for b in blocks if not empty(b)])
    for axes in figure.axes:
        notes = [t for t in axes.texts if isinstance(t, Annotation) and not empty(t)]
        disjoint([note.get_window_extent(renderer) for note in notes])
        if not axes.axison or hasattr(axes, "zaxis"):
            continue
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [
                tick.label1
                for tick in axis.get_major_ticks()
                if low <= tick.get_loc() <= high and not empty(tick.label1)
            ]
            disjoint([label.get_window_extent(renderer) for label in ticks])


def empty(part: object) -> bool:
    return not isinstance(part, Legend) and not part.get_text()


def disjoint(boxes: list) -> None:
    for one, other in combinations(boxes, 2):
        wide = min(one.x1, other.x1) - max(one.x0, other.x0)
        high = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(wide, high) <= 1.0, (one, other)


def grey_is_said(figure: Figure, said: str) -> None:
    """Where points are grey, a legend has a grey mark."""
    grey = to_hex(style.OTHERS)
    drawn = [
        to_hex(colour)
        for axes in figure.axes
        for points in axes.collections
        if type(points).__name__ == "PathCollection"
        for colour in points.get_facecolors()
    ]
    if grey not in drawn:
        return
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    marks = [
        to_hex(handle.get_color())
        for legend in legends
        for handle in legend.legend_handles
        if hasattr(handle, "get_color")
    ]
    assert grey in marks
    assert style.NOT_GIVEN in said or "no root" in said or "random groups" in said


@pytest.mark.parametrize("name", ["kl_previous", "weight_distances", "layer_profiles"])
def test_what_is_zero_is_seen_beside_what_is_sixteen(name):
    figure = FIGURES[name](CASES["odd"])
    zeros = [
        (axes, line)
        for axes in figure.axes
        for line in axes.lines
        if len(line.get_xdata()) > 2 and (np.asarray(line.get_ydata()) == 0).any()
    ]
    assert zeros
    for axes, line in zeros:
        low, high = axes.get_ylim()
        assert low < 0.0, "the axis begins below 0, so that a point at 0 is whole"
        assert high > max(line.get_ydata())
        figure.draw_without_rendering()
        assert "0" in {label.get_text() for label in axes.get_yticklabels()}


def test_groups_of_few_are_points_and_a_violin_ends_with_its_values():
    figure = FIGURES["scale"](CASES["usual"])
    (axes,) = figure.axes
    violins = [c for c in axes.collections if type(c).__name__ == "FillBetweenPolyCollection"]
    points = [c for c in axes.collections if type(c).__name__ == "PathCollection"]
    assert len(violins) == 2, "those of 40 and of 300 pairs, not those of 7, 3 and 1"
    for violin in violins:
        corners = violin.get_paths()[0].vertices
        own = round(float(corners[:, 0].mean()))
        shown = [p.get_offsets() for p in points if len(p.get_offsets()) > 1]
        values = next(v[:, 1] for v in shown if abs(v[:, 0].mean() - own) < 0.1)
        assert corners[:, 1].min() >= values.min() * (1 - 1e-9)
        assert corners[:, 1].max() <= values.max() * (1 + 1e-9)


def test_bands_are_the_interval_that_the_commands_print():
    from mlflow_modelmap.numerics.divergence.interval import confidence_interval

    table = along(CASES["usual"])
    late = table[table["step_from"] >= 1000]
    name = next(iter(colours(CASES["usual"])))
    own = late[late["trajectory"] == name]
    band = FIGURES["kl_previous"](CASES["usual"]).axes[1].collections[0]
    corners = band.get_paths()[0].vertices
    low, high = confidence_interval(own["kl"], own["se"])
    for step, ends in zip(own["step"], np.c_[low, high], strict=True):
        drawn = corners[corners[:, 0] == step][:, 1]
        assert {round(float(v), 9) for v in ends} <= {round(float(v), 9) for v in drawn}


@pytest.mark.parametrize("name", ["map_of_trainings", "map_3d", "layers_by_depth", "layers_3d"])
def test_what_is_earlier_is_paler(name):
    figure = FIGURES[name](CASES["fewest"])
    points = max(
        (c for c in figure.axes[0].collections if type(c).__name__.startswith("Path")),
        key=lambda c: len(c.get_facecolors()),
    )
    shade = points.get_facecolors()[:3, :3].sum(axis=1)
    assert (np.diff(shade) < 0).all()


def test_components_that_carry_nothing_are_not_drawn():
    titles = [axes.get_title(loc="left") for axes in FIGURES["pca_steps"](CASES["usual"]).axes]
    assert [re.search(r"\d+", title)[0] for title in titles] == ["1", "2", "3"]
    assert len(FIGURES["pca_pairs"](CASES["usual"]).axes) == 1
