"""Reading vectors: exact values back, and damage named with its run."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap import InputError, TrackingError
from mlflow_modelmap.drivers.study.selection import select
from mlflow_modelmap.tracking.runs.artifacts import local_path
from mlflow_modelmap.tracking.runs.read_vectors import read_matrix
from mlflow_modelmap.tracking.runs.select_runs import select_runs
from tests.tracking.conftest import vector_frame

LN2 = np.log(2)


def test_a_matrix_is_the_runs_vectors_in_order(write_run):
    generator = np.random.default_rng(0)
    values = -100 * generator.random((3, 7))
    for index, row in enumerate(values):
        write_run(f"model {index}", row)
    matrix, points = read_matrix(select_runs(["test"]))
    assert np.array_equal(matrix.values, values)
    assert matrix.points == ("model 0", "model 1", "model 2")
    assert np.array_equal(matrix.text_bytes, 20 + np.arange(7))
    expected = -values.mean(axis=1) / (23 * LN2)
    assert np.allclose([point.bits_per_byte for point in points], expected, rtol=1e-14)


def test_rows_in_any_order_are_put_in_order(write_run):
    frame = vector_frame(np.array([-1.0, -2.0, -3.0, -4.0])).iloc[[2, 0, 3, 1]]
    write_run("shuffled", frame=frame)
    matrix, _ = read_matrix(select_runs(["test"]))
    assert matrix.values.tolist() == [[-1, -2, -3, -4]]
    assert matrix.text_bytes.tolist() == [20, 21, 22, 23]


def test_layer_rows_are_points_only_when_asked_for(write_run):
    own, first, last = np.array([-3.0, -4]), np.array([-9.0, -8]), np.array([-3.0, -4])
    write_run("lens", own, layers={0: first, 2: last})
    write_run("plain", own - 1)
    runs = select_runs(["test"])
    matrix, points = read_matrix(runs)
    assert matrix.values.tolist() == [[-3, -4], [-4, -5]]
    assert [point.layer for point in points] == [None, None]
    matrix, points = read_matrix(runs, layers=True)
    assert matrix.points == ("lens layer 0", "lens layer 2", "plain")
    assert [point.layer for point in points] == [0, 2, None]
    assert matrix.values.tolist() == [[-9, -8], [-3, -4], [-4, -5]]


def test_different_text_sets_never_meet(write_run):
    for name in "ab":
        write_run(name, text_set_name="first")
    write_run("c", digest="b" * 64)
    with pytest.raises(
        InputError, match=r"aaaaaaaaaaaa \(first, 2 runs\), bbbbbbbbbbbb \(unnamed, 1 run\)"
    ):
        read_matrix(select_runs(["test"]))


def test_the_remedy_for_different_text_sets_works(write_run):
    for name in "ab":
        write_run(name)
    write_run("c", digest="b" * 64)
    with pytest.raises(InputError) as caught:
        read_matrix(select_runs(["test"]))
    remedy = str(caught.value).split("--texts '")[1].split("'")[0]
    assert len(select(["test"], texts=remedy).matrix()[1]) == 2


def damage(name, value):
    frame = vector_frame(np.array([-1.0, -2.0, -3.0]))
    frame[name] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (damage("log_likelihood", [-1, np.inf, -2]), "log-likelihood of text 1 is inf"),
        (damage("log_likelihood", [-1, -2, np.nan]), "text 2 is nan|holds empty cells"),
        (damage("log_likelihood", ["a", "b", "c"]), "something else than numbers"),
        (damage("text", [0, 1, 1]), "texts are not 0 to 2, each once"),
        (damage("text", [1, 2, 3]), "texts are not 0 to 2, each once"),
        (damage("bytes", [10, 0, 10]), "text 1 has no bytes"),
        (damage("bytes", [10, -5, 10]), "text 1 has no bytes"),
        (damage("log_likelihood", [-1, 7.5, -2]), "log-likelihood of text 1 is 7.5, above 0"),
        (damage("scored_tokens", [5, 5, -1]), "its text 2 has -1 scored tokens"),
        (damage("scored_tokens", [5, 2.5, 5]), "scored_tokens holds something else than numbers"),
        (damage("text", [0, -1, 1]), "texts are not 0 to 2, each once"),
        (damage("layer", [None, -1, 0]), "its layer -1 is no whole number"),
        (damage("layer", [0.5, None, 0.0]), "its layer 0.5 is no whole number"),
        (damage("layer", [np.inf, None, 0.0]), "its layer inf is no whole number"),
        (damage("layer", ["a", "b", "c"]), "layer holds something else than numbers"),
        (damage("x", 1).drop(columns="bytes"), "lack the column bytes"),
        (damage("x", 1).iloc[:0], "hold no rows"),
        (vector_frame(np.array([-1.0])).assign(layer=[3]), "holds layers only"),
        (damage("weight", [1.0, 0.0, 1.0]), "weight of text 1 is 0.0, not a positive number"),
        (damage("weight", [1.0, 1.0, np.inf]), "weight of text 2 is inf"),
        (damage("weight", [1.0, None, 1.0]), "text 1 is nan|column weight holds empty cells"),
        (damage("weight", ["a", "b", "c"]), "weight holds something else than numbers"),
        (
            vector_frame(np.array([-1.0, -2.0]), {0: np.array([-3.0, -4.0])}).assign(
                weight=[1.0, 2.0, 1.0, 3.0]
            ),
            "rows of layer 0 have other weights",
        ),
    ],
)
def test_a_damaged_artifact_names_its_run(write_run, frame, said):
    write_run("good")
    bad = write_run("bad", frame=frame)
    with pytest.raises(TrackingError, match=rf"Run {bad} \('bad'\) is damaged: .*({said})"):
        read_matrix(select_runs(["test"]))


def test_a_sum_that_rounding_put_above_0_is_a_score(write_run):
    write_run("sure", frame=damage("log_likelihood", [-1e-3, 2e-5, 0.0]))
    assert read_matrix(select_runs(["test"]))[0].values[0].tolist() == [-1e-3, 2e-5, 0.0]


def test_a_missing_artifact_names_its_run(write_run):
    bad = write_run("bad", artifact=False)
    with pytest.raises(TrackingError, match=f"Run {bad} .*log_likelihoods.parquet is missing"):
        read_matrix(select_runs(["test"]))


def test_a_file_that_is_no_parquet_names_its_run(write_run, store):
    bad = write_run("bad")
    uri = mlflow.MlflowClient(store).get_run(bad).info.artifact_uri
    (local_path(uri) / "modelmap" / "log_likelihoods.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(TrackingError, match=f"Run {bad} .*cannot be read"):
        read_matrix(select_runs(["test"]))


def test_runs_of_other_lengths_or_parts_are_refused(write_run):
    first = write_run("first", [-1, -2, -3])
    second = write_run("second", [-1, -2])
    with pytest.raises(TrackingError, match=f"{second}.*2 texts.*{first}.*3"):
        read_matrix(select_runs(["test"]))
    write_run("third", frame=damage("bytes", [20, 9, 22]))
    with pytest.raises(InputError, match=r"'first' scored 21 bytes of text 1 and 'third' 9"):
        read_matrix([run for run in select_runs(["test"]) if run.run_id != second])


def test_a_run_without_a_text_set_is_refused(write_run):
    bad = write_run("bad", digest=None)
    with pytest.raises(TrackingError, match=rf"{bad} .* has no tag modelmap.text_set"):
        read_matrix(select_runs(["test"]))


def test_no_runs_are_refused():
    with pytest.raises(InputError, match="No runs"):
        read_matrix([])


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b%20c", "/a/b c"),
        ("/a/b", "/a/b"),
        ("mlflow-artifacts:/0/x/artifacts", None),
        ("s3://bucket/x", None),
    ],
)
def test_which_artifacts_lie_on_this_machine(uri, path):
    found = local_path(uri)
    assert (str(found) if found else None) == path


def weighted_frame(values, weights):
    return vector_frame(np.asarray(values, dtype=float)).assign(weight=weights)


def test_weights_of_the_texts_come_with_the_matrix(write_run):
    write_run("a", frame=weighted_frame([-1, -2, -3], [1.0, 2.0, 5.0]).iloc[[2, 0, 1]])
    write_run("b", frame=weighted_frame([-4, -2, -3], [2.0, 4.0, 10.0]))
    matrix, points = read_matrix(select_runs(["test"]))
    assert matrix.weights.tolist() == [1, 2, 5]
    mean_bytes = (20 + 2 * 21 + 5 * 22) / 8
    assert matrix.mean_bytes == pytest.approx(mean_bytes)
    assert points[1].bits_per_byte == pytest.approx((4 + 4 + 15) / 8 / (mean_bytes * LN2))


def test_runs_without_the_column_have_no_weights_and_meet_equal_ones_only(write_run):
    write_run("old")
    write_run("even", frame=weighted_frame([-1, -2, -3], [3.0, 3.0, 3.0]))
    matrix, _ = read_matrix(select_runs(["test"]))
    assert matrix.shares is None
    write_run("other", frame=weighted_frame([-1, -2, -3], [3.0, 3.0, 4.0]))
    with pytest.raises(InputError, match=r"\('other'\) and run .*\('old'\) give the same texts"):
        read_matrix(select_runs(["test"]))


def test_layers_of_a_weighted_run_share_its_weights(write_run):
    frame = vector_frame(np.array([-1.0, -2.0]), {0: np.array([-3.0, -4.0])})
    write_run("lens", frame=frame.assign(weight=[1.0, 3.0, 1.0, 3.0]))
    matrix, _ = read_matrix(select_runs(["test"]), layers=True)
    assert matrix.weights.tolist() == [1, 3]
