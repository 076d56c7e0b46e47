"""Preprocessing against a slow literal transcription of the paper's Appendix E.1."""

import itertools

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.preprocessing.preprocess import preprocess
from tests.numerics.preprocessing.conftest import STEPS


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
