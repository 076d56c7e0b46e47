"""A trajectory for the server page: KL and exponents with their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mlflow import MlflowClient

from mlflow_modelmap import build_map, study_quantization, trajectory
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.study import study_payload
from mlflow_modelmap.drivers.page.training import trajectory_payload
from mlflow_modelmap.numerics.divergence.interval import mean_interval
from tests.drivers.page.reading import reads
from tests.page_site import STEPS
from tests.scored import made_up, write_family, write_score


def test_a_trajectory_with_intervals(page, site):
    told = trajectory_payload(page, open_run(page, site.runs["trajectory"]), PageCache())
    assert [line["name"] for line in told["trajectories"]] == ["tiny-seed0", "tiny-seed1"]
    line = told["trajectories"][0]
    assert [row["step"] for row in line["kl_previous"]] == list(STEPS[1:])
    assert all(row["low"] < row["kl"] < row["high"] for row in line["kl_previous"])
    assert [row["step"] for row in line["bits_per_byte"]] == list(STEPS)
    assert all(row["low"] <= row["exponent"] <= row["high"] for row in line["exponents"])
    assert line["exponents"]
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(("documents", "known"), [(20, True), (5, False)])
def test_intervals_count_documents_where_texts_are_pieces_of_them(store, documents, known):
    codes = np.arange(40) % documents
    write_family(store, STEPS, documents=codes)
    page = reads(store)
    found = trajectory(["test"], tag_runs=False)
    told = trajectory_payload(page, open_run(page, found.run_id), PageCache())
    lows = [row["low"] for line in told["trajectories"] for row in line["kl_previous"]]
    assert [low is not None for low in lows] == [known] * len(lows)
    assert MlflowClient(store).get_run(found.run_id).data.metrics["modelmap/documents"] == documents

    values, size = made_up(2)
    for precision, row in zip(("float32", "nf4"), values, strict=True):
        of = {"precision": precision, "documents": codes, "experiment": "copies"}
        write_score(store, precision, row, size, model="m", **of)
    copies = study_quantization(["copies"])
    (row,) = study_payload(page, open_run(page, copies.run_id), PageCache())["chart"]["rows"]
    assert (row["low"] is not None) == known


def test_the_bars_of_a_map_reach_as_far_as_its_documents_say(store, monkeypatch):
    """Student's t with documents less one degrees of freedom: of 20 documents 2.09, not 2.02."""
    from mlflow_modelmap.drivers.map import pictures

    asked = {}
    real = pictures.bars_figure
    monkeypatch.setattr(pictures, "bars_figure", lambda *a, **k: asked.update(k) or real(*a, **k))
    write_family(store, documents=np.arange(40) % 20)
    build_map(["test"])
    assert mean_interval(0.0, 1.0, texts=asked["texts"])[1] == pytest.approx(2.0930, abs=1e-4)
