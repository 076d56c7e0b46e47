"""The worst texts, domains, and the same checkpoints on other texts."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.drivers.trajectory.trajectory import trajectory
from mlflow_modelmap.errors import InputError
from tests.drivers.trajectory.trainings import N
from tests.scored import write_score


def test_the_worst_texts_can_be_read_and_domains_are_told_apart(studied):
    study, *_ = studied
    worst = study.worst_texts
    assert len(worst) == 100
    assert worst["dropped"].sum() == 9
    assert worst.at[0, "excerpt"].startswith(f"the made-up text of number {worst.at[0, 'text']} x")
    domains = study.tables["domains"]
    assert domains.groupby("domain")["texts"].first().sum() == N - 9
    assert set(domains["domain"]) == {"code", "law"}


def test_the_same_checkpoints_on_other_texts_are_correlated(store):
    rng = np.random.default_rng(4)
    position = np.cumsum(rng.standard_normal((12, 5)), axis=0)
    for digest, count in (("5" * 64, 400), ("6" * 64, 500)):
        values = -90 + position @ rng.standard_normal((5, count))
        for step, row in enumerate(values):
            write_score(
                store,
                f"s{step} {digest[0]}",
                row,
                np.full(count, 100),
                digest=digest,
                trajectory="a",
                step=1000 * step,
            )
    study = trajectory(
        ["test"],
        filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
        other_filter=f"tags.`modelmap.text_set` = '{'6' * 64}'",
        drop_texts=None,
        clip=None,
        splits=2,
        figures=False,
    )
    assert study.settings["other_text_set.correlation"] > 0.97
    metrics = mlflow.MlflowClient().get_run(study.run_id).data.metrics
    assert metrics["modelmap/correlation_with_other_texts"] > 0.97
    assert metrics["modelmap/correlation_of_halves"] > 0.9
    with pytest.raises(InputError, match="scored on the same text set"):
        trajectory(
            ["test"],
            filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
            other_filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
        )


def test_the_other_text_set_is_cleaned_like_the_first(store):
    """A text of the other set that goes wild at one checkpoint is dropped there as here."""
    rng = np.random.default_rng(4)
    position = np.cumsum(rng.standard_normal((12, 5)), axis=0)
    for digest, count in (("5" * 64, 400), ("6" * 64, 500)):
        values = -90 + position @ rng.standard_normal((5, count))
        values[6, 3] -= 900.0
        for step, row in enumerate(values):
            write_score(
                store,
                f"s{step} {digest[0]}",
                row,
                np.full(count, 100),
                digest=digest,
                trajectory="a",
                step=1000 * step,
            )
    found = {
        drop: trajectory(
            ["test"],
            filter=f"tags.`modelmap.text_set` = '{'5' * 64}'",
            other_filter=f"tags.`modelmap.text_set` = '{'6' * 64}'",
            drop_texts=drop,
            clip=None,
            splits=2,
            figures=False,
        )
        for drop in (None, 0.01)
    }
    # Uncleaned, one text makes both tables alike; cleaned, what is left agrees for itself.
    dropped = found[0.01]
    assert dropped.settings["other_text_set.correlation"] > 0.9
    assert dropped.tables["halves"]["correlation"].min() > 0.9
    assert found[None].settings["other_text_set.correlation"] > 0.999
    assert dropped.settings["other_text_set.correlation"] < 0.9999
