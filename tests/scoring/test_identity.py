"""Identity: the same for the same, another for whatever could change a number or a name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_modelmap.scoring.identity import identity
from mlflow_modelmap.scoring.settings import ScoringSettings

SETTINGS = ScoringSettings()
BASE = ("commit", "digest", "float32", "cpu", SETTINGS, {"model": "a", "step": "1"})


def test_it_is_the_same_however_auto_came_to_be_written_and_labels_were_ordered():
    same = ("commit", "digest", "float32", "cpu", replace(SETTINGS, precision="float32"))
    assert identity(*BASE) == identity(*same, {"step": "1", "model": "a"})
    assert len(identity(*BASE)) == 64


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "other"),
        (1, "other"),
        (2, "bfloat16"),
        (3, "cuda"),
        (4, replace(SETTINGS, bos="never")),
        (4, replace(SETTINGS, layers=True)),
        (5, {"model": "a", "step": "2"}),
        (5, {"model": "a"}),
    ],
)
def test_it_changes_with_each_part(place, value):
    changed = [*BASE[:place], value, *BASE[place + 1 :]]
    assert identity(*changed) != identity(*BASE)


def test_weights_of_the_texts_are_a_part_and_their_absence_is_none():
    assert identity(*BASE, None) == identity(*BASE)
    weighted = identity(*BASE, "a" * 64)
    assert weighted != identity(*BASE)
    assert weighted != identity(*BASE, "b" * 64)


def test_a_score_of_texts_without_weights_is_found_by_the_identity_it_always_had():
    assert identity(*BASE) == "bbad8237dcf72c6929ff7b84641e6d0554a3ee36a827a5792ba375bee887395f"
