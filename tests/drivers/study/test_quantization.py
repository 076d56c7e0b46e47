"""Models beside their quantised copies: how far, and which way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap.drivers.study.quantization import load_quantization, study_quantization
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.figures.study.quantization import quantisation_bars, quantised_map
from tests.drivers.study.known import N, expected_kl


@pytest.mark.drawn
def test_quantisation_says_how_far_and_which_way(family):
    study = study_quantization(["test"])
    assert len(study.pairs) == 6
    for row in study.pairs.itertuples():
        assert row.kl == pytest.approx(expected_kl(family[row.model], family[row.model, "int8"]))
        assert 0 < row.se < row.kl
    by_type = study.alignment.set_index("model_type")
    assert set(by_type.index) == {"llama", "mistral"}
    # Pushes of length sqrt(N) with noise of a tenth of it: cosine 1 / 1.01.
    assert by_type["mean"].to_numpy() == pytest.approx(1 / 1.01, abs=0.02)
    # Random groups leave the type itself out: of two types it is always the other.
    other = by_type["mean"].to_numpy()[::-1]
    assert by_type["random_mean"].to_numpy() == pytest.approx(other, abs=1e-9)
    again = load_quantization(study.run_id)
    assert again.pairs["kl"].tolist() == study.pairs["kl"].tolist()


def test_without_a_quantised_copy_the_study_says_what_to_score(write_run):
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        write_run(name, -50 + generator.normal(size=N), precision="float32")
    with pytest.raises(InputError, match="quantised copy of another; score the same model"):
        study_quantization(["test"])


@pytest.mark.drawn
@pytest.mark.parametrize(
    ("tag", "label"), [("6", "int8 threshold 6"), ("../6", "int8"), ("nan", "int8"), ("0", "int8")]
)
def test_int8_with_outliers_is_apart_from_int8_without(write_run, tag, label):
    generator = np.random.default_rng(0)
    own = -50 + generator.normal(size=N)
    write_run("a", own, model="a", precision="float16")
    write_run("plain", own + 0.1 * generator.normal(size=N), model="a", precision="int8")
    copy = own + generator.normal(size=N)
    write_run("outliers", copy, model="a", precision="int8", int8_threshold=tag)
    pairs = study_quantization(["test"]).pairs.set_index("copy")["precision"]
    assert pairs.to_dict() == {"plain": "int8", "outliers": label}


@pytest.mark.drawn
def test_gguf_copies_are_copies_of_the_model_that_they_name(write_run):
    generator = np.random.default_rng(0)
    own = -50 + generator.normal(size=N)
    write_run("original", own, model="org/a", precision="float32")
    copies = {}
    for size, kind in enumerate(["Q8_0", "Q4_K_M", "Q2_K", "nf4"], start=1):
        copies[kind] = own + size * generator.normal(size=N)
        name = "org/a" if kind == "nf4" else f"a-{kind}.gguf"
        write_run(kind, copies[kind], model=name, precision=kind, base_model="org/a")
    pairs = study_quantization(["test"]).pairs.set_index("precision")
    assert sorted(pairs.index) == ["Q2_K", "Q4_K_M", "Q8_0", "nf4"]
    for kind, row in pairs.iterrows():
        assert (row["original"], row["copy"]) == ("original", kind)
        assert row["kl"] == pytest.approx(expected_kl(own, copies[kind]))


def test_every_precision_of_copies_has_a_bar_and_a_mark_of_its_own():
    precisions = ["int8", "int8 threshold 6", "nf4", "Q8_0", "Q4_K_M", "gptq-int4"]
    pairs = pd.DataFrame({"model": "a", "precision": precisions, "kl": 0.1, "se": 0.01})
    pairs["original"], pairs["copy"] = "a", precisions
    bars = quantisation_bars(pairs)
    labels = [text.get_text() for text in bars.axes[0].get_legend().get_texts()]
    assert sorted(labels) == sorted(precisions)
    assert len(bars.axes[0].patches) == len(precisions)
    points = pd.DataFrame({"point": ["a", *precisions], "precision": ["float32", *precisions]})
    drawn = quantised_map(points.assign(model_type="t"), np.zeros((7, 2)), pairs)
    (legend,) = drawn.legends
    marks = [handle.get_marker() for handle in legend.legend_handles]
    assert len(set(marks)) == len(marks) == 7


@pytest.mark.drawn
def test_a_map_of_few_points_says_that_it_shows_principal_components(write_run, monkeypatch):
    generator = np.random.default_rng(0)
    own = -50 + generator.normal(size=N)
    write_run("own", own, model="org/a", precision="float32")
    write_run("copy", own + 0.1 * generator.normal(size=N), model="org/a", precision="int8")
    drawn = []

    def kept(*arguments, **options):
        drawn.append(quantised_map(*arguments, **options))
        return drawn[-1]

    monkeypatch.setattr("mlflow_modelmap.drivers.study.quantization.quantised_map", kept)
    study_quantization(["test"])
    assert drawn[0].axes[0].get_xlabel() == "principal component 1\n(√(bits/byte))"
