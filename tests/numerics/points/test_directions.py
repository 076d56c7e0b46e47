"""Models that are pushed the same way have aligned difference vectors; others have not."""

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.numerics.points.directions import alignment, cosine_similarities


def test_cosines_of_known_vectors():
    found = cosine_similarities(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[1, 0, half], [0, 1, half], [half, half, 1]], atol=1e-12)


def test_a_type_that_moves_together_stands_out_from_random_groups():
    generator = np.random.default_rng(1)
    texts, each = 400, 8
    rows, types = [], []
    for kind in ("llama", "mistral", "other"):
        push = generator.normal(size=texts)
        for _ in range(each):
            own = generator.normal(size=texts)
            rows.append(own if kind == "other" else push + 0.5 * own)
            types.append(kind)
    found = alignment(np.array(rows), types).by_type.set_index("model_type")
    # cos of (p + e/2) and (p + f/2) with independent p, e, f of one length is 1 / 1.25.
    assert found.loc["llama", "mean"] == pytest.approx(0.8, abs=0.05)
    assert found.loc["llama", "mean"] > found.loc["llama", "random_high"]
    assert abs(found.loc["other", "mean"]) < 0.05
    assert (found["models"] == each).all()


def test_a_model_that_did_not_move_is_named():
    with pytest.raises(InputError, match="Model 1 did not change"):
        alignment(np.array([[1.0, 2.0], [0.0, 0.0]]), ["a", "a"])


def test_random_groups_leave_the_type_itself_out():
    """A type that is half of all models and moves together is not compared with itself."""
    generator = np.random.default_rng(2)
    push = generator.normal(size=400)
    rows = [push + 0.3 * generator.normal(size=400) for _ in range(8)]
    rows += [generator.normal(size=400) for _ in range(8)]
    found = alignment(np.array(rows), ["one"] * 8 + ["rest"] * 8).by_type.set_index("model_type")
    assert abs(found.loc["one", "random_mean"]) < 0.05
    assert found.loc["one", "random_high"] < 0.1
    alone = alignment(np.array(rows[:8]), ["one"] * 8).by_type
    assert np.isnan(alone[["random_mean", "random_low", "random_high"]]).all(axis=None)
