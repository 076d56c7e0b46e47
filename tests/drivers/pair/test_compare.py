"""Two scored models, by any name they have."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError, compare, score
from mlflow_modelmap.numerics.divergence.kl import kl_between
from tests.scored import made_up, write_score


def test_a_model_scored_with_layers_too_is_one(store, tiny_models, texts):
    model, other = str(tiny_models(seed=0)), str(tiny_models(seed=1))
    plain = score(model, texts, progress=False)
    score(model, texts, layers=True, progress=False)
    score(other, texts, progress=False)
    assert compare(model, other).a.run_id == plain.run_id


def test_texts_that_are_asked_for_are_those_of_both(store):
    values, size = made_up(2)
    ids = [
        write_score(store, f"on {k}", row, size, digest=digit * 64, text_set_name=f"set {k}")
        for k, (row, digit) in enumerate(zip(values, "ab", strict=True))
    ]
    with pytest.raises(InputError, match=rf"{ids[1]}\) was scored on other texts, set 1 \(bbb"):
        compare(*ids, texts="set 0")


@pytest.fixture
def scored(store):
    values, size = made_up(4)
    about = [
        {"model": "org/a", "revision": "main"},
        {"model": "org/a", "revision": "step1"},
        {"model": "org/b", "precision": "int8"},
        {"model": "org/c"},
    ]
    ids = [
        write_score(store, f"name {k}", row, size, **more)
        for k, (row, more) in enumerate(zip(values, about, strict=True))
    ]
    return ids, values, size


def test_kl_is_that_of_the_two_vectors_with_interval_and_words(scored):
    ids, values, size = scored
    found = compare("name 0", "name 2")
    kl, se = kl_between(values[0], values[2], size.mean(), text_bytes=size)
    assert (found.kl, found.se) == pytest.approx((kl, se))
    assert found.low < kl < found.high
    assert (found.a.run_id, found.b.run_id) == (ids[0], ids[2])
    assert found.b.precision == "int8"
    assert found.texts == len(size)
    assert "of" in found.words


@pytest.mark.parametrize(
    ("reference", "index"),
    [("name 1", 1), ("org/b", 2), ("org/a@step1", 1), ("id", 3), ("short id", 3)],
)
def test_references_of_every_kind_are_found(scored, reference, index):
    ids, _, _ = scored
    reference = {"id": ids[3], "short id": ids[3][:10]}.get(reference, reference)
    assert compare("name 0", reference).b.run_id == ids[index]
    assert compare(ids[0], reference, experiments=["test"]).b.run_id == ids[index]


def test_a_reference_to_several_scores_lists_them(scored):
    ids, _, _ = scored
    with pytest.raises(
        InputError, match=rf"'org/a' stands for 2 scores.*{ids[0][:8]}.*{ids[1][:8]}"
    ):
        compare("org/a", "org/b")


def test_what_is_not_scored_is_told_with_what_is(scored):
    with pytest.raises(InputError, match=r"No finished score of 'name 9'.*'name 3'"):
        compare("name 0", "name 9")


def test_one_run_under_two_names_is_refused(scored):
    ids, _, _ = scored
    with pytest.raises(InputError, match="same run"):
        compare("name 0", ids[0])


def test_names_are_looked_up_everywhere_if_the_current_experiment_lacks_them(store):
    values, size = made_up(2)
    for k, row in enumerate(values):
        write_score(store, f"far {k}", row, size, experiment="elsewhere")
    assert compare("far 0", "far 1").kl > 0


def test_different_text_sets_are_refused(scored, store):
    values, size = made_up(1)
    write_score(store, "stranger", values[0], size, digest="b" * 64)
    with pytest.raises(InputError, match="different text sets"):
        compare("name 0", "stranger")
