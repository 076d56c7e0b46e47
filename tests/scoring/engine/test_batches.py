"""Batches: every text once, within the budget, padded on the right."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlflow_modelmap.scoring.engine.batches import make_batch, plan


@given(st.lists(st.integers(2, 300), min_size=1, max_size=60), st.integers(1, 3000))
def test_every_text_is_in_one_batch_within_the_budget(lengths, budget):
    sizes = np.array(lengths)
    batches = list(plan(sizes, range(len(sizes)), budget))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * sizes[batch].max() <= budget
    longest = [int(sizes[batch].max()) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_rows_lead_to_their_next_tokens():
    ids = [np.array([7, 8, 9]), np.array([1, 2]), np.array([3, 4, 5, 6])]
    batch = make_batch(ids, np.array([2, 0, 1]), first=1)
    assert batch.ids.tolist() == [[3, 4, 5, 6], [7, 8, 9, 9], [1, 2, 2, 2]]
    assert batch.targets.tolist() == [4, 5, 6, 8, 9, 2]
    assert batch.ids.ravel()[batch.rows].tolist() == [3, 4, 5, 7, 8, 1]
    assert batch.owners.tolist() == [0, 0, 0, 1, 1, 2]


def test_tokens_before_the_first_scored_one_only_condition():
    batch = make_batch([np.array([0, 1, 7, 8, 9])], np.array([0]), first=2)
    assert batch.rows.tolist() == [1, 2, 3]
    assert batch.targets.tolist() == [7, 8, 9]
