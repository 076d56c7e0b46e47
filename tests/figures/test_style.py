"""Colours, numbers and names as every figure shows them."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_rgb

from mlflow_modelmap.figures import style


def test_ten_groups_have_ten_colours_whatever_their_order():
    names = [f"group {k}" for k in range(10)]
    colours = style.colours(names)
    assert len(set(colours.values())) == 10
    assert style.colours(reversed(names)) == colours


def test_thirty_groups_differ_in_colour_and_every_ten_in_marker():
    names = [f"group {k}" for k in range(30)]
    assert len(set(style.colours(names).values())) == 30
    markers = style.markers(names)
    assert markers["group 0"] == markers["group 9"] != markers["group 10"] != markers["group 20"]


def test_missing_labels_are_no_group():
    labels = ["b", None, float("nan"), "", "a", "None"]
    assert style.groups(labels) == ["a", "b"]
    assert style.colour_of(None, style.colours(labels)) == style.OTHERS


def test_numbers_in_names_are_sorted_as_numbers():
    assert style.groups(["pythia-1000m", "pythia-70m", "pythia-160m"]) == [
        "pythia-70m",
        "pythia-160m",
        "pythia-1000m",
    ]


def test_fading_goes_from_pale_to_the_full_colour():
    shades = [sum(to_rgb(c)) for c in style.fade("#0072b2", [0.0, 0.3, 0.7, 1.0])]
    assert shades == sorted(shades, reverse=True)
    assert style.fade("#0072b2", 1.0) == "#0072b2"
    assert style.fade("#0072b2", 0.0) != "#ffffff"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.1, "0.1"), (1.0, "1"), (0.0123, "0.012"), (3.5e-7, "3.5e-7"), (1234, "1,234")],
)
def test_numbers_are_written_for_people(value, shown):
    assert style.number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(512, "512"), (1000, "1k"), (143000, "143k")])
def test_steps_are_written_for_people(value, shown):
    assert style.step(value) == shown


@pytest.mark.parametrize(
    "name", ["$x_1$", r"a\$b", "$", "$$$", "line\nbreak", "$\\frac$", "\x07bell"]
)
def test_any_name_can_be_drawn_as_it_is(name):
    figure = style.figure()
    axes = style.panel(figure, title=name)
    text = axes.text(0, 0, style.plain(name))
    figure.draw_without_rendering()
    drawn, is_math = text._preprocess_math(text.get_text())
    assert not is_math
    assert drawn == name.replace("\n", " ").replace("\x07", "?")


def test_long_names_keep_their_ends():
    short = style.plain("organisation/a-model-with-a-very-long-name-v0.1", 20)
    assert len(short) == 20
    assert short.startswith("organis")
    assert short.endswith("v0.1")


def test_a_legend_says_what_grey_is_where_there_is_any():
    for labels, last in ((["a", None, "b"], "not given"), (["a", "b"], "b")):
        figure = style.figure()
        shown = style.legend(style.panel(figure), style.colours(labels), labels=labels)
        assert shown.get_texts()[-1].get_text() == last


def test_a_legend_is_no_longer_than_its_picture():
    figure = style.figure(6.0, 3.0)
    shown = style.legend(style.panel(figure), style.colours(map(str, range(40))))
    figure.draw_without_rendering()
    assert shown.get_texts()[-1].get_text().startswith("and ")
    assert shown.get_window_extent().y0 >= 0


@pytest.mark.parametrize(("count", "said"), [(2, "2nd"), (3, "3rd"), (11, "11th"), (21, "21st")])
def test_places_are_written_for_people(count, said):
    assert style.ordinal(count) == said


def test_no_interval_is_drawn_where_too_few_documents_give_one():
    import pandas as pd

    from mlflow_modelmap.figures.intervals import kl_interval, lengths, with_intervals

    table = pd.DataFrame({"kl": [0.1], "se": [0.01], "exact_se": [0.02], "use": [1.0]})
    assert with_intervals(table, 10) is table
    unknown = with_intervals(table, 9)
    assert unknown[["se", "exact_se"]].isna().all(axis=None)
    assert unknown["use"].tolist() == [1.0]
    assert (lengths(unknown["kl"], kl_interval(unknown["kl"], unknown["se"])) == 0).all()


def test_a_part_of_a_step_is_not_written_as_a_whole_one():
    made = style.figure(7.4, 4.1)
    axes = style.panel(made)
    axes.plot([1, 2], [3, 4])
    style.steps_axis(axes)
    made.canvas.draw()
    written = [tick.get_text() for tick in axes.get_xticklabels()]
    assert sorted(filter(None, written)) == ["1", "2"]
    assert "" in written
