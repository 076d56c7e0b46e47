"""Studies of copies, layers, prompts and exact pairs for the server page, as they were logged."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from mlflow_modelmap import TrackingError
from mlflow_modelmap.drivers.page.cache import PageCache
from mlflow_modelmap.drivers.page.opened import open_run
from mlflow_modelmap.drivers.page.study import MOST_DRAWN, TABLES, study_payload
from mlflow_modelmap.numerics.divergence.interval import confidence_interval
from mlflow_modelmap.tracking.runs.study_run import write_study
from tests.drivers.page.reading import artifact, reads


@pytest.mark.parametrize("kind", TABLES)
def test_all_rows_of_a_study_are_told_as_they_were_logged(page, site, kind):
    told = study_payload(page, open_run(page, site.runs[kind]), PageCache())
    json.dumps(told, allow_nan=False)
    first = TABLES[kind][0]
    logged = pd.read_parquet(artifact(page, site, kind, f"{first.artifact}.parquet"))
    assert told["tables"][0]["title"] == first.title
    rows = told["tables"][0]["rows"]
    for column in told["tables"][0]["columns"]:
        for name in filter(None, (column["of"], column["se"])):
            assert [row[name] for row in rows] == logged[name].to_list()
    groups = set(told["chart"]["colours"])
    assert {row["group"] for row in told["chart"]["rows"]} == groups


def test_bars_are_95_percent_intervals_and_none_where_there_is_none(page, site):
    told = study_payload(page, open_run(page, site.runs["quantization"]), PageCache())
    drawn = {row["value"]: row for row in told["chart"]["rows"]}
    low, high = confidence_interval(0.03, 0.004, texts=60)
    assert (drawn[0.03]["low"], drawn[0.03]["high"]) == (low, high)
    exact = study_payload(page, open_run(page, site.runs["exact"]), PageCache())["chart"]["rows"]
    assert [(row["group"], row["low"]) for row in exact[:2]] == [
        ("KL(A || B)", 0.17),
        ("KL(B || A)", None),
    ]


def test_of_many_rows_the_first_are_drawn_and_all_are_told(store):
    many = MOST_DRAWN + 7
    shifts = pd.DataFrame({"model": [f"m{k}" for k in range(many)], "prompt": "p", "kl": 1.0})
    run_id = write_study(
        "prompts",
        tables={"prompt_shifts": shifts.assign(se=0.1)},
        metrics={"texts": 60},
        experiment="test",
    )
    page = reads(store)
    told = study_payload(page, open_run(page, run_id), PageCache())
    assert (len(told["chart"]["rows"]), told["chart"]["left_out"]) == (MOST_DRAWN, 7)
    assert len(told["tables"][0]["rows"]) == many


def test_a_study_without_its_columns_is_damaged(store):
    run_id = write_study(
        "layers", tables={"layers": pd.DataFrame({"kl": [1.0]})}, experiment="test"
    )
    page = reads(store)
    with pytest.raises(TrackingError, match=f"Run {run_id} is damaged"):
        study_payload(page, open_run(page, run_id), PageCache())
