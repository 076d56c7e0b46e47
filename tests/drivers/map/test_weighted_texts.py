"""Weighted texts from a score to every kind of map: what is logged, found again and computed."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlflow_modelmap import InputError, TextSet, TrackingError
from mlflow_modelmap.drivers.lineage.lineage import lineage
from mlflow_modelmap.drivers.map.build_map import build_map
from mlflow_modelmap.drivers.map.model_map import load_map
from mlflow_modelmap.drivers.pair.compare import compare
from mlflow_modelmap.drivers.score import score_into, spool
from mlflow_modelmap.drivers.score.score import score
from mlflow_modelmap.drivers.study.layers import study_layers
from mlflow_modelmap.drivers.study.quantization import study_quantization
from mlflow_modelmap.drivers.study.scale import build_scale
from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.numerics.divergence.kl import kl_between
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.tracking.conftest import vector_frame, write_run  # noqa: F401 - a fixture


@pytest.fixture
def weighted(texts) -> TextSet:
    weights = np.random.default_rng(0).gamma(1.0, size=len(texts)) + 0.1
    return TextSet(texts.name, texts.texts, weights=tuple(weights))


def get(store, run_id):
    return mlflow.MlflowClient(store).get_run(run_id)


def test_a_score_of_weighted_texts_holds_and_uses_their_weights(store, tiny_model, weighted):
    done = score(tiny_model, weighted, progress=False)
    run = get(store, done.run_id)
    path = local_path(run.info.artifact_uri) / "modelmap" / "log_likelihoods.parquet"
    assert pd.read_parquet(path)["weight"].tolist() == list(weighted.weights)
    assert run.data.tags["modelmap.text_weights"] == weighted.weights_digest
    assert run.data.tags["modelmap.text_set"] == weighted.digest
    mean = np.average(done.log_likelihoods, weights=weighted.weights)
    bits = -mean / (weighted.mean_bytes * np.log(2))
    assert done.bits_per_byte == pytest.approx(bits, rel=1e-12)
    assert run.data.metrics["modelmap/bits_per_byte"] == pytest.approx(bits, rel=1e-12)
    assert run.data.metrics["modelmap/mean_log_likelihood"] == pytest.approx(mean, rel=1e-12)
    assert score_into.as_result(done)["mean_log_likelihood"] == pytest.approx(mean, rel=1e-12)
    matrix, points = read_matrix(select_runs(run_ids=(done.run_id,)))
    assert matrix.weights.tolist() == list(weighted.weights)
    assert points[0].bits_per_byte == pytest.approx(bits, rel=1e-12)


def test_other_weights_are_another_score_and_the_same_ones_are_found(
    store, tiny_model, texts, weighted
):
    plain = score(tiny_model, texts, progress=False)
    first = score(tiny_model, weighted, progress=False)
    again = score(tiny_model, weighted, progress=False)
    assert (first.skipped, again.skipped, again.run_id) == (False, True, first.run_id)
    assert again.bits_per_byte == pytest.approx(first.bits_per_byte, rel=1e-12)
    np.testing.assert_array_equal(first.log_likelihoods, plain.log_likelihoods)
    with pytest.raises(InputError, match=f"{first.run_id}.*{plain.run_id}.*different weights"):
        read_matrix(select_runs(run_ids=(plain.run_id, first.run_id)))


def test_a_vector_that_waits_in_the_spool_is_logged_with_its_weights(
    store, tiny_model, weighted, monkeypatch
):
    def dies(*_, **__):
        raise RuntimeError("the store is gone")

    with monkeypatch.context() as broken:
        broken.setattr(score_into, "log_score", dies)
        with pytest.raises(TrackingError, match="is kept in"):
            score(tiny_model, weighted, progress=False)
    assert len(list(spool.spool_folder().glob("*.parquet"))) == 1
    done = score(tiny_model, weighted, progress=False)
    matrix, _ = read_matrix(select_runs(run_ids=(done.run_id,)))
    assert matrix.weights.tolist() == list(weighted.weights)
    assert not list(spool.spool_folder().glob("*.parquet"))


N = 60


class Scored:
    """Runs of made-up models on N weighted texts, and what their KL must be."""

    def __init__(self, write):
        self.write = write
        self.random = np.random.default_rng(5)
        self.weights = self.random.gamma(0.7, size=N) + 0.02
        self.bytes = 20 + np.arange(N)
        self.common = -0.8 * self.bytes + self.random.normal(0.0, 6.0, N)
        self.vectors = {}

    def model(self, name, change=3.0, layers=0, of=None, **tags):
        base = self.common if of is None else self.vectors[of]
        inner = {k: base + self.random.normal(0.0, change, N) for k in range(layers)}
        own = inner[layers - 1] if layers else base + self.random.normal(0.0, change, N)
        self.vectors[name] = own
        self.vectors |= {f"{name} layer {k}": vector for k, vector in inner.items()}
        frame = vector_frame(own, inner)
        frame["weight"] = np.tile(self.weights, 1 + layers)
        return self.write(name, frame=frame, **tags)

    def check(self, table, one, other):
        """That each row's KL and error are those of its two points under the weights."""
        assert len(table)
        b = np.average(self.bytes, weights=self.weights)
        for row in table.to_dict("records"):
            a, c = (self.vectors[name(row)] for name in (one, other))
            expected = kl_between(a, c, b, weights=self.weights, text_bytes=self.bytes)
            assert (row["kl"], row["se"]) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def scored(write_run) -> Scored:  # noqa: F811
    return Scored(write_run)


def column(name):
    return lambda row: row[name]


def test_copies_on_weighted_texts_are_found_at_once_and_when_placed(store, scored):
    scored.model("a")
    scored.model("b")
    scored.model("copy", change=0.0, of="a")
    made = build_map(["test"])
    assert made.points["identical_to"].fillna("").tolist() == ["", "", "a"]
    assert made.kl.at["a", "copy"] == 0.0
    scored.model("later", change=0.0, of="b")
    more = build_map(["test"], extend=made.run_id)
    assert more.points["identical_to"].fillna("").tolist() == ["", "", "a", "b"]
    assert more.kl.at["b", "later"] == 0.0


def test_a_map_of_weighted_texts_has_weighted_kl_and_gives_the_weights_back(store, scored):
    for name in "abcde":
        scored.model(name)
    made = build_map(["test"])
    np.testing.assert_array_equal(load_map(made.run_id).weights, scored.weights)
    assert load_map(made.run_id).mean_bytes == pytest.approx(
        np.average(scored.bytes, weights=scored.weights)
    )
    assert len(get(store, made.run_id).data.tags["modelmap.text_weights"]) == 64
    scored.check(made.nearest, column("point"), column("neighbour"))
    row = made.points.set_index("point").loc["c"]
    mean = np.average(scored.vectors["c"], weights=scored.weights)
    assert row["bits_per_byte"] == pytest.approx(-mean / (made.mean_bytes * np.log(2)))


def test_a_map_without_weights_says_none(write_run):  # noqa: F811
    rng = np.random.default_rng(0)
    for name in "abc":
        write_run(name, rng.normal(-50, 5, N))
    made = build_map(["test"])
    assert made.weights is load_map(made.run_id).weights is None


def test_the_comparison_of_two_scores_is_weighted(scored):
    scored.model("a")
    scored.model("b")
    found = compare("a", "b", experiments=["test"])
    scored.check(pd.DataFrame([{"kl": found.kl, "se": found.se}]), lambda _: "a", lambda _: "b")


def test_trajectories_of_weighted_texts(scored):
    for name in ("tiny-seed1", "tiny-seed2"):
        before = None
        for step in range(0, 20_000, 1000):
            before_name, before = before, f"{name} step {step}"
            scored.model(before, 1.5, of=before_name, trajectory=name, step=str(step))
    found = trajectory(["test"], clip=None, drop_texts=None, figures=False)
    of = "{} step {}".format
    later = lambda row: of(row["trajectory"], row["step"])  # noqa: E731
    earlier = lambda row: of(row["trajectory"], row["step_from"])  # noqa: E731
    scored.check(found.kl_previous, earlier, later)
    scored.check(found.tables["kl_from_start"], earlier, later)
    scored.check(found.kl_between, later, lambda row: of(row["other"], row["step"]))
    prepared = trajectory(["test"], clip=0.02, drop_texts=0.1, figures=False)
    # The heaviest texts to go hold about a tenth of the weights, however many they are.
    dropped = prepared.texts.loc[prepared.texts["dropped"], "text"].to_numpy()
    share = scored.weights[dropped].sum() / scored.weights.sum()
    assert abs(share - 0.1) <= scored.weights.max() / scored.weights.sum()


def test_studies_of_weighted_texts(scored):
    for number in range(3):
        name = f"org/model-{number}"
        scored.model(name, model=name, model_type="llama", precision="float16")
        scored.model(f"{name} int8", 1.0, of=name, model=name, precision="int8")
    scored.model("deep", layers=4, model_type="llama", model="deep")
    copies = study_quantization(["test"])
    scored.check(copies.pairs, column("original"), column("copy"))
    scored.check(build_scale(["test"]).pairs, column("point"), column("other"))
    found = study_layers(["test"])
    scored.check(
        found.profiles,
        lambda row: f"deep layer {row['layer_from']}",
        lambda row: f"deep layer {row['layer']}",
    )
    mean = np.average(scored.vectors["deep layer 3"], weights=scored.weights)
    assert found.points["mean_log_likelihood"].iloc[-1] == pytest.approx(mean)


def test_lineage_of_weighted_texts(scored):
    scored.model("org/base", model="org/base")
    scored.model("org/child", 1.0, of="org/base", model="org/child", base_model="org/base")
    found = lineage(["test"], score=False, hub=False)
    told = found.table[found.table["parent"].notna()]
    scored.check(told, lambda row: "org/child", lambda row: "org/base")
