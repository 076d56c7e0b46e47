"""The user's own scale on the same texts: found in the experiment at hand, and nowhere else."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pytest

from mlflow_modelmap.drivers.pair.compare import compare
from mlflow_modelmap.drivers.pair.scale_at_hand import scale_at_hand
from mlflow_modelmap.drivers.study.scale import build_scale
from tests.scored import DIGEST, made_up, write_score

FAR = "your nf4 copies are from their originals"


@pytest.fixture
def copies(store):
    """Three models, each with a copy in nf4."""
    values, size = made_up(3)
    random = np.random.default_rng(4)
    for name, row in zip("abc", values, strict=True):
        write_score(store, name, row, size, precision="float32")
        copy = row + random.normal(0, 3.0, len(row))
        write_score(store, f"{name} nf4", copy, size, model=name, precision="nf4")
    return store


def own(store, experiments=("test",), digest=DIGEST, weights=None):
    client = mlflow.MlflowClient(store)
    ids = [client.get_experiment_by_name(name).experiment_id for name in experiments]
    return scale_at_hand(digest, weights, ids, client)


def test_a_kl_is_told_by_ones_own_copies(copies):
    assert "your" not in compare("a", "a nf4").words
    made = build_scale(["test"])
    median = made.table.set_index("group").loc["4-bit", "median"]
    assert {g.far: g.median for g in own(copies)}[FAR] == median
    pairs = made.pairs[made.pairs["group"] == "4-bit"].set_index("other")["kl"]
    nearest = (np.log(pairs / median)).abs().idxmin()
    words = compare(nearest.removesuffix(" nf4"), nearest).words
    assert words.startswith(f"about as far as {FAR}; ")


def test_the_newest_that_can_be_read_counts(copies):
    client = mlflow.MlflowClient(copies)
    older = build_scale(["test"]).table.set_index("group")
    newer = build_scale(["test"], filter="tags.`modelmap.precision` = 'float32'")
    assert FAR not in [group.far for group in own(copies)]
    root = Path(urlsplit(client.get_run(newer.run_id).info.artifact_uri).path)
    (root / "modelmap" / "scale.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert {g.far: g.median for g in own(copies)}[FAR] == older.loc["4-bit", "median"]
    client.delete_run(newer.run_id)
    assert FAR in [group.far for group in own(copies)]


def test_other_texts_weights_and_experiments_do_not_count(copies):
    build_scale(["test"])
    mlflow.MlflowClient(copies).create_experiment("elsewhere")
    assert own(copies)
    assert own(copies, digest="6" * 64) == ()
    assert own(copies, weights="7" * 64) == ()
    assert own(copies, experiments=("elsewhere",)) == ()
    assert own(copies, experiments=()) == ()
    assert own(copies, digest="' OR '1' = '1") == ()


def test_a_run_that_is_not_finished_does_not_count(copies):
    made = build_scale(["test"])
    mlflow.MlflowClient(copies).set_terminated(made.run_id, "FAILED")
    assert own(copies) == ()
    assert math.isfinite(compare("a", "b").kl)
