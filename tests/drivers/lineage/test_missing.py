"""Models without a score are named, or scored, and stop nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mlflow_modelmap.errors import InputError
from tests.drivers.lineage.models import measure, rows
from tests.scored import write_score


def test_what_is_not_scored_is_named_and_the_rest_goes_on(family):
    family.version("team-new", score=False, tags={"base_model": "team-base"})
    found = measure()
    assert "1 models are not scored: 'team-new/1'." in found.notices
    assert rows(found).at["team-new/1", "verdict"] == "not measured"
    with pytest.raises(InputError, match=r"1 models are not scored yet \('team-new/1'\); say on"):
        measure(score=True)


def test_a_version_without_source_and_a_broken_one_stop_nothing(family, texts, tmp_path):
    family.version("team-bare", score=False, source="", tags={"base_model": "team-base"})
    (tmp_path / "empty").mkdir()
    family.version("team-empty", score=False, source=(tmp_path / "empty").as_uri())
    for label in ("team-base/1", "team-chat/1"):
        write_score(
            family.store, label, family.random.normal(-80, 5, len(texts)), np.full(len(texts), 40),
            model=f"models:/{label}", digest=texts.digest,
        )  # fmt: skip
    for label in ("team-code", "team-tool"):
        family.client.delete_registered_model(label)
    found = measure(score=True, texts=texts, progress=False)
    text = "\n".join(found.notices)
    assert "'team-bare/1' has no source" in text
    assert "'team-empty/1' could not be scored: " in text
    assert "were scored on other texts" in text
    assert np.isfinite(rows(found).at["team-chat/1", "kl"])
