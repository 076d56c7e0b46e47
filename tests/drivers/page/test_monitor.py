"""A training that goes on, for the server page: what its table and its metrics say so far."""

from __future__ import annotations

import pandas as pd
import pytest
from mlflow import MlflowClient

from mlflow_modelmap.drivers.page.monitor import monitor_payload
from mlflow_modelmap.drivers.page.opened import head, open_run
from mlflow_modelmap.errors import TrackingError
from tests.drivers.page.reading import artifact
from tests.page_site import RECORDED, recorded_metrics

COLUMNS = RECORDED.split("\n", 1)[0].split(",")[1:-1]


@pytest.fixture
def written(site):
    """A training with a table (or none), some metrics and a count; deleted afterwards."""
    client, made = MlflowClient(site.store), []

    def write(table: str | None, metrics=(), count: str | None = "3") -> str:
        tags = {"modelmap.kind": "monitor", "modelmap.trajectory": "going on"}
        tags |= {} if count is None else {"modelmap.checkpoints": count}
        run_id = client.create_run(site.experiments["family"], tags=tags).info.run_id
        made.append(run_id)
        if table is not None:
            client.log_text(run_id, table, "modelmap/checkpoints.csv")
        client.log_batch(run_id, list(metrics))
        return run_id

    yield write
    for run_id in made:
        client.delete_run(run_id)


def without_words(payload):
    return {key: value for key, value in payload.items() if key != "anomalies"}


def test_a_training_that_goes_on(page, site):
    opened = open_run(page, site.runs["monitor"])
    assert head(page, opened)["status"] == "RUNNING"
    (line,) = monitor_payload(page, opened)["trajectories"]
    assert [row["step"] for row in line["bits_per_byte"]] == [100, 200, 300]
    rows = [(r["step_from"], r["step"], r["kl"], r["se"]) for r in line["kl_previous"]]
    assert rows[0] == pytest.approx((100, 200, 10 / 200, 1 / 200))
    assert rows[1] == pytest.approx((200, 300, 10 / 300, 1 / 300))
    assert len(rows) == 2
    assert [(row["t1"], row["low"], row["high"]) for row in line["exponents"]] == [(300, 0.5, 1.5)]


def test_the_anomalies_of_a_training_are_told_in_its_words(page, site):
    told = monitor_payload(page, open_run(page, site.runs["monitor"]))["anomalies"]
    assert [(of["step"], of["what"]) for of in told] == [
        (200, "breaks continuity"),
        (300, "jump: 4.0 times the expected KL; really"),
    ]


@pytest.mark.parametrize(
    ("table", "count"),
    [
        (None, "3"),
        (None, None),
        ("step\n100\n", "3"),
        (pd.DataFrame({"step": [100, 200, 300], "bits_per_byte": [2.5, 2.0, 1.5]}).to_csv(), "3"),
    ],
    ids=["no table", "nothing listed", "a damaged table", "a table without the other numbers"],
)
def test_what_the_table_does_not_say_is_read_from_metrics(page, site, written, table, count):
    """As of runs of earlier versions, and of programs that write a training by themselves."""
    shown = monitor_payload(page, open_run(page, site.runs["monitor"]))
    run_id = written(table, recorded_metrics(COLUMNS), count)
    found = monitor_payload(page, open_run(page, run_id))
    assert without_words(found) == without_words(shown)
    assert [(of["step"], of["what"]) for of in found["anomalies"]] == [(200, "breaks continuity")]


def test_a_step_that_is_no_checkpoint_is_told_as_an_anomaly(page, written):
    (flag,) = recorded_metrics(["anomaly"])
    run_id = written("step,bits_per_byte,anomaly\n100,2.5,\n300,1e999,\n", [flag], "2")
    found = monitor_payload(page, open_run(page, run_id))
    assert [row["step"] for row in found["trajectories"][0]["bits_per_byte"]] == [100]
    assert [of["step"] for of in found["anomalies"]] == [200]


def test_a_table_that_is_gone_is_said(page, site, written):
    run_id = written(None, count="1")
    with pytest.raises(TrackingError, match=r"checkpoints\.csv is missing"):
        monitor_payload(page, open_run(page, run_id))
    assert artifact(page, site, "monitor", "checkpoints.csv").is_file()
