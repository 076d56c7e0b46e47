"""Nodes that share the Hub's cache get files fetched by the sweep, ahead and within bounds."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.sweep_status import sweep_status
from mlflow_modelmap.drivers.score.workers import progress, spread
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.scoring.model.cached_weights import remove
from mlflow_modelmap.tracking.runs.search import search_runs
from mlflow_modelmap.tracking.store.client import client
from tests.adapters import lora, make_adapter
from tests.drivers.score.workers.here import Here
from tests.drivers.score.workers.test_keep_cache import weights_in
from tests.hub_server import HubServer

NAMES = [f"org/model{seed}" for seed in range(3)]


@pytest.fixture
def hub(tiny_models, monkeypatch, tmp_path):
    with HubServer() as there:
        for seed, name in enumerate(NAMES):
            there.add(name, tiny_models("gpt_neox", seed=seed))
        there.use(monkeypatch, cache=tmp_path / "hub")
        yield there


def sweep_here(monkeypatch, engine, models, texts, **more):
    monkeypatch.setattr(spread, "_engine", lambda *_: engine)
    plan = {"models": models}
    return sweep(plan, texts=texts, workers=Workers(on="ray"), progress=False, **more)


@pytest.mark.parametrize("log_from", ["driver", "worker"])
def test_each_model_is_given_once_its_files_are_there_and_scored_ones_are_not_fetched(
    store, texts, monkeypatch, tmp_path, hub, log_from
):
    there = []

    class Looking(Here):
        def give(self, number, need, work):
            there.append(len(weights_in(tmp_path / "hub")) > 0)
            super().give(number, need, work)

    monkeypatch.setattr(spread, "_engine", lambda *_: Looking())
    how = {"texts": texts, "workers": Workers(log_from=log_from), "progress": False}
    how["workers"] = Workers(on="ray", log_from=log_from)
    done = sweep({"models": NAMES[:1]}, keep_cache=0, **how)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)]
    assert there == [True]
    hub.requests.clear()
    again = sweep({"models": NAMES[:1]}, keep_cache=0, **how)
    assert [row.state for row in again.rows] == ["skipped"]
    assert not [request for request in hub.requests if ".safetensors" in request]
    for other in ({"precision": "bfloat16"}, {"name": "another"}, {"bos": "never"}):
        there.clear()
        models = [{"model": NAMES[0], **other}]
        assert [row.state for row in sweep({"models": models}, keep_cache=0, **how).rows] == [
            "scored"
        ]
        assert there == [True], "the sweep fetched it, and not the node"
        assert weights_in(tmp_path / "hub") == []
    part = tmp_path / "hub" / "hub" / "models--org--model0" / "blobs" / "rest.incomplete"
    part.write_bytes(b"x")  # of a fetch that was killed
    hub.requests.clear()
    how["workers"] = None
    assert [row.state for row in sweep({"models": NAMES[:1]}, **how).rows] == ["skipped"]
    assert not [request for request in hub.requests if ".safetensors" in request]


def test_what_the_hub_does_not_give_fails_alone(store, texts, monkeypatch, hub):
    done = sweep_here(monkeypatch, Here(), [NAMES[0], "org/nothing"], texts)
    assert [row.state for row in done.rows] == ["scored", "failed"]
    assert "org/nothing" in done.rows[1].error


def test_nodes_with_caches_of_their_own_fetch_and_nothing_bounds_that(
    store, texts, tiny_model, monkeypatch, hub, all_runs
):
    with pytest.raises(InputError, match=r"do not share the Hub's cache .*hub.*HF_HOME"):
        sweep_here(monkeypatch, Here(sees=False), NAMES[:1], texts, keep_cache=1)
    assert all_runs() == []
    done = sweep_here(monkeypatch, Here(sees=False), NAMES[:1], texts)
    assert [row.state for row in done.rows] == ["scored"]
    models = [{"model": str(tiny_model), "name": "local"}]
    done = sweep_here(monkeypatch, Here(sees=False), models, texts, keep_cache=1)
    assert [row.state for row in done.rows] == ["scored"]


def test_a_status_names_what_a_cluster_is_at(store, texts, tiny_model, monkeypatch):
    seen = []
    monkeypatch.setattr(progress, "_SAID_SECONDS", 0.0)

    class Slow(Here):
        def events(self, seconds):
            if self.answers and len(self.looks) < 2:  # the sweep has said how far it is
                self.looks.append(1)
                return []
            if self.answers:
                (sweep_run,) = search_runs(["1"], "tags.`modelmap.kind` = 'sweep'", client())
                seen.append(sweep_status(sweep_run.info.run_id).working)
            return super().events(seconds)

    engine = Slow()
    engine.looks = []
    done = sweep_here(monkeypatch, engine, [{"model": str(tiny_model), "name": "m"}], texts)
    assert seen == [("m",)]
    assert sweep_status(done.run_id).working == ()


def test_what_is_scored_is_skipped_where_the_hub_is_gone_and_the_weights_too(
    store, texts, monkeypatch, hub, tmp_path
):
    done = sweep_here(monkeypatch, Here(), NAMES[:2], texts, keep_cache=0)
    assert [row.state for row in done.rows] == ["scored"] * 2
    assert weights_in(tmp_path / "hub") == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    again = sweep_here(monkeypatch, Here(), NAMES[:2], texts, keep_cache=0)
    assert [(row.state, row.error) for row in again.rows] == [("skipped", None)] * 2
    alone = sweep({"models": NAMES[:2]}, texts=texts, progress=False)
    assert [(row.state, row.error) for row in alone.rows] == [("skipped", None)] * 2


def test_an_adapter_s_base_is_not_fetched_where_it_is_scored(
    store, texts, monkeypatch, hub, tmp_path, tiny_models
):
    base = tiny_models("gpt_neox", seed=0)
    adapter = make_adapter(tmp_path / "adapter", base, lora("gpt_neox"), named=NAMES[0])
    models, how = [str(adapter)], {"texts": texts, "progress": False}
    assert [row.state for row in sweep({"models": models}, **how).rows] == ["scored"]
    for path in weights_in(tmp_path / "hub"):
        remove(path)
    hub.requests.clear()
    assert [row.state for row in sweep({"models": models}, **how).rows] == ["skipped"]
    assert not [request for request in hub.requests if ".safetensors" in request]
