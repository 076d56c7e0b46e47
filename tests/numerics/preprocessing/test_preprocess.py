"""Preprocessing against a slow literal transcription of the paper's Appendix E.1."""

import itertools

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.matrix.log_likelihoods import LogLikelihoodMatrix, coordinates
from mlflow_modelmap.numerics.preprocessing.preprocess import (
    clip_bottom,
    consecutive,
    irregular,
    kl_after_removing,
    preprocess,
    text_scores,
)
from mlflow_modelmap.numerics.trajectory.trajectories import kl_previous, trajectories

STEPS = [0, 512, 1000, 2000, 3000, 4000, 5000]


@pytest.fixture
def pythia():
    """Two sizes, seven checkpoints, 200 texts of which some move wildly."""
    rng = np.random.default_rng(3)
    texts = 200
    labels = ["410m"] * len(STEPS) + ["1b"] * len(STEPS)
    steps = STEPS * 2
    wild = 1 + 30 * (rng.random(texts) > 0.93)
    values = -400 + 80 * rng.standard_normal(texts) + wild * rng.standard_normal((14, texts))
    values[11] -= 100 * rng.random(texts)
    points = tuple(f"{a}-step{b}" for a, b in zip(labels, steps, strict=True))
    matrix = LogLikelihoodMatrix(values, points, rng.integers(300, 1024, texts))
    return matrix, trajectories(labels, steps, points), labels, steps


def literal(values, labels, steps, text_bytes, left_out, warm_up=2000):
    """The paper's text, sentence by sentence, in plain Python."""
    logp = {}
    for row, (size, step) in enumerate(zip(labels, steps, strict=True)):
        logp.setdefault(size, {})[step] = [float(v) for v in values[row]]
    # "We clip the log-likelihood matrix L at the bottom 2 %, after excluding the outlier model."
    everything = sorted(
        v
        for size in logp
        for step in logp[size]
        if (size, step) != left_out
        for v in logp[size][step]
    )
    position = 0.02 * (len(everything) - 1)
    low = int(position)
    threshold = everything[low] + (position - low) * (everything[low + 1] - everything[low])
    texts = len(text_bytes)
    clipped = {
        size: {step: [max(v, threshold) for v in vector] for step, vector in logp[size].items()}
        for size in logp
    }
    # "max over i, t of |log p_{i,t+1}(x) - log p_{i,t}(x)|", consecutive saved checkpoints after
    # the warm-up.
    changes = [[] for _ in range(texts)]
    for size in clipped:
        ordered = sorted(clipped[size])
        for t, following in itertools.pairwise(ordered):
            if t < warm_up or left_out in ((size, t), (size, following)):
                continue
            for s in range(texts):
                changes[s].append(abs(clipped[size][following][s] - clipped[size][t][s]))
    maximum = [max(c) for c in changes]
    mean = [sum(c) / len(c) for c in changes]
    sd = [
        (sum((v - m) ** 2 for v in c) / len(c)) ** 0.5 for c, m in zip(changes, mean, strict=True)
    ]
    # "When the top 300 texts (3 %) are removed".
    ranked = sorted(range(texts), key=lambda s: -maximum[s])
    dropped = ranked[: round(0.03 * texts)]
    kept = [s for s in range(texts) if s not in dropped]
    left = [
        [clipped[size][step][s] for s in kept]
        for size, step in zip(labels, steps, strict=True)
        if (size, step) != left_out
    ]
    return threshold, maximum, sd, dropped, left, sum(text_bytes[s] for s in kept) / len(kept)


@pytest.mark.parametrize("left_out", [None, ("1b", 4000)])
def test_the_papers_preprocessing_step_by_step(pythia, left_out):
    matrix, given, labels, steps = pythia
    names = ["{}-step{}".format(*left_out)] if left_out else []
    done = preprocess(matrix, given, leave_out=names)
    threshold, maximum, sd, dropped, left, mean_bytes = literal(
        matrix.values, labels, steps, matrix.text_bytes.tolist(), left_out
    )
    assert done.clip_value == pytest.approx(threshold, rel=1e-12)
    np.testing.assert_allclose(done.scores.maximum, maximum, rtol=1e-12)
    np.testing.assert_allclose(done.scores.sd, sd, rtol=1e-9, atol=1e-9)
    assert done.dropped.tolist() == dropped
    np.testing.assert_allclose(done.matrix.values, left, rtol=1e-12)
    assert done.mean_bytes == pytest.approx(mean_bytes)
    assert done.left_out == tuple(names)
    assert len(done.matrix.points) == 14 - len(names)
    for t in done.trajectories:
        assert [done.matrix.points[r] for r in t.rows] == [f"{t.name}-step{s}" for s in t.steps]


def test_the_record_says_what_was_done(pythia):
    matrix, given, *_ = pythia
    done = preprocess(matrix, given, leave_out=["1b-step4000"])
    record = done.record()
    assert record["preprocessing.left_out"] == ["1b-step4000"]
    assert record["preprocessing.dropped_texts"] == 6
    rest = matrix.keep_points(np.array([p != "1b-step4000" for p in matrix.points]))
    assert record["preprocessing.clipped_values"] == np.sum(rest.values < done.clip_value)
    table = done.text_table()
    assert table["dropped"].tolist() == [True] * 6 + [False] * 194
    assert table["maximum"].is_monotonic_decreasing
    assert table["text"][0] == done.dropped[0]


def test_each_step_is_optional(pythia):
    matrix, given, *_ = pythia
    done = preprocess(matrix, given, clip=None, drop_texts=None)
    np.testing.assert_array_equal(done.matrix.values, matrix.values)
    assert done.clip_value is None
    assert done.clipped == 0
    assert done.dropped.size == 0
    assert done.scores is not None
    only_clipped = preprocess(matrix, given, drop_texts=None)
    assert only_clipped.matrix.values.min() == only_clipped.clip_value
    only_dropped = preprocess(matrix, given, clip=None)
    assert only_dropped.matrix.values.shape == (14, 194)


def test_neighbours_of_a_checkpoint_left_out_are_not_consecutive(pythia):
    matrix, given, *_ = pythia
    gone = matrix.points.index("1b-step4000")
    first, second = consecutive(given, 2000, {gone})
    pairs = {(matrix.points[i], matrix.points[j]) for i, j in zip(first, second, strict=True)}
    assert ("1b-step3000", "1b-step5000") not in pairs
    assert ("1b-step2000", "1b-step3000") in pairs
    assert len(pairs) == 4


def test_sd_keeps_its_digits_beside_large_changes():
    values = np.array([[0.0], [1e6], [1e6 - 1e6 + 1e-3]])
    scores = text_scores(values, (np.array([0, 1]), np.array([1, 2])))
    assert scores.sd[0] == pytest.approx(5e-4, rel=1e-6)


def test_kl_after_removing_is_that_of_a_matrix_without_those_texts(pythia):
    matrix, given, *_ = pythia
    done = preprocess(matrix, given, drop_texts=None)
    table = kl_after_removing(
        done.matrix, given, done.scores.maximum, removed=(0, 10, 50, 199), from_step=2000
    )
    assert sorted(set(table["removed"])) == [0, 10, 50]
    order = np.argsort(-done.scores.maximum, kind="stable")
    for count in (0, 10, 50):
        left = done.matrix.keep_texts(np.sort(order[count:]))
        expected = kl_previous(coordinates(left), given)
        expected = expected[expected["step_from"] >= 2000]
        got = table[table["removed"] == count]
        np.testing.assert_array_equal(got["step"], expected["step"])
        np.testing.assert_allclose(got["kl"], expected["kl"], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": ["1b-step9"]}, "There is no point '1b-step9' to leave out"),
        ({"clip": 1.0}, "The quantile to clip at is 1.0"),
        ({"drop_texts": -0.1}, "The share of texts to drop is -0.1"),
        ({"warm_up": 5000}, "No two consecutive checkpoints come at or after step 5000"),
        ({"leave_out": [f"1b-step{s}" for s in STEPS[1:]]}, "'1b' would keep one checkpoint"),
    ],
)
def test_what_cannot_be_done(pythia, options, message):
    matrix, given, *_ = pythia
    with pytest.raises(InputError, match=message):
        preprocess(matrix, given, **options)


def test_a_whole_trajectory_can_be_left_out(pythia):
    matrix, given, *_ = pythia
    done = preprocess(matrix, given, leave_out=[f"1b-step{s}" for s in STEPS])
    assert [t.name for t in done.trajectories] == ["410m"]
    assert len(done.matrix.points) == 7


def weighing(matrix, weights):
    return LogLikelihoodMatrix(matrix.values, matrix.points, matrix.text_bytes, weights)


def repeating(matrix, times):
    return LogLikelihoodMatrix(
        np.repeat(matrix.values, times, axis=1),
        matrix.points,
        np.repeat(matrix.text_bytes, times),
    )


def test_weighted_texts_are_clipped_where_the_texts_that_they_stand_for_would_be(pythia):
    matrix, *_ = pythia
    times = np.random.default_rng(0).integers(1, 6, 200)
    one, value, count = clip_bottom(weighing(matrix, times.astype(float)), 0.05)
    _, many, _ = clip_bottom(repeating(matrix, times), 0.05)
    assert value == pytest.approx(many, abs=0.1)
    assert count == (matrix.values < value).sum() != 0
    assert value != pytest.approx(clip_bottom(matrix, 0.05)[1], abs=0.1)
    assert one.values.min() == value
    np.testing.assert_array_equal(one.weights, times)
    even = clip_bottom(weighing(matrix, np.full(200, 3.0)), 0.05)
    assert even[1] == clip_bottom(matrix, 0.05)[1]


def test_as_much_weight_is_dropped_as_was_asked_for():
    scores = np.array([1.0, 9.0, 5.0, 7.0])
    assert irregular(scores, 0.5).tolist() == [1, 3]
    assert irregular(scores, 0.5, np.array([0.2, 0.1, 0.3, 0.4])).tolist() == [1, 3]
    assert irregular(scores, 0.5, np.array([0.6, 0.05, 0.25, 0.1])).tolist() == [1, 3, 2]
    assert irregular(scores, 0.05, np.array([0.1, 0.7, 0.1, 0.1])).tolist() == []
    many = np.random.default_rng(0).random(199)
    even = np.full(199, 1 / 199)
    for share in (0.01, 0.1, 0.33, 0.9):
        assert irregular(many, share, even).tolist() == irregular(many, share).tolist()


def test_kl_after_removing_weighted_texts_is_that_of_what_is_left(pythia):
    matrix, given, *_ = pythia
    times = np.random.default_rng(0).integers(1, 6, 200)
    scores = np.random.default_rng(1).random(200)
    table = kl_after_removing(weighing(matrix, times.astype(float)), given, scores, removed=[0, 40])
    for removed in (0, 40):
        kept = np.argsort(-scores)[removed:]
        left = repeating(matrix.keep_texts(kept), times[kept])
        expected = kl_previous(coordinates(left), given)["kl"]
        found = table.loc[table["removed"] == removed, "kl"]
        np.testing.assert_allclose(found, expected, rtol=1e-8)
