"""The identity of version 0.1.0: as it was, whatever settings there are now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_modelmap.scoring.identity_of_0_1_0 import identity_of_0_1_0
from mlflow_modelmap.scoring.settings import ScoringSettings

SETTINGS = ScoringSettings()
BASE = ("commit", "digest", "float32", "cpu", SETTINGS, {"model": "a", "step": "1"})


def test_it_is_what_version_0_1_0_stored():
    # Made by version 0.1.0.
    stored = "bbad8237dcf72c6929ff7b84641e6d0554a3ee36a827a5792ba375bee887395f"
    assert identity_of_0_1_0(*BASE) == stored
    same = (*BASE[:4], replace(SETTINGS, precision="float32", device="cpu"), BASE[5])
    assert identity_of_0_1_0(*same) == stored


@pytest.mark.parametrize("change", [{"batch_tokens": 64}, {"device_map": "auto"}, {"layers": True}])
def test_every_setting_of_then_was_a_part(change):
    other = (*BASE[:4], replace(SETTINGS, **change), BASE[5])
    assert identity_of_0_1_0(*other) != identity_of_0_1_0(*BASE)


class Later(ScoringSettings):
    """The settings of a later version."""

    sliding_window: int = 0


def test_what_a_later_setting_changed_was_not_made_by_0_1_0():
    assert identity_of_0_1_0(*BASE[:4], Later(), BASE[5]) == identity_of_0_1_0(*BASE)
    assert identity_of_0_1_0(*BASE[:4], Later(sliding_window=3), BASE[5]) is None
