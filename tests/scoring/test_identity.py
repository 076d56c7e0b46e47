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


@pytest.mark.parametrize(
    "change", [{"batch_tokens": 64}, {"device_map": "auto"}, {"device": "cuda:1"}]
)
def test_what_changes_rounding_only_is_no_part(change):
    other = replace(SETTINGS, **change)
    assert identity(*BASE[:4], other, BASE[5]) == identity(*BASE)


class Later(ScoringSettings):
    """The settings of a later version."""

    sliding_window: int = 0


def test_a_setting_that_comes_later_changes_no_identity_until_it_is_used():
    assert identity(*BASE[:4], Later(), BASE[5]) == identity(*BASE)
    assert identity(*BASE[:4], Later(sliding_window=3), BASE[5]) != identity(*BASE)


def test_it_is_the_same_in_every_version_from_now_on():
    assert identity(*BASE) == "9989bc883d51a154d34702c3cb95b6971437c125c027f13a3ea1a2b24cb82a45"
