"""Nodes that share the Hub's cache get files fetched by the sweep, ahead and within bounds."""

from __future__ import annotations

import time

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score import prepare
from mlflow_modelmap.drivers.score.prepare import model_files
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.sweep_status import sweep_status
from mlflow_modelmap.drivers.score.workers import for_nodes, progress, spread
from mlflow_modelmap.drivers.score.workers.do import do
from mlflow_modelmap.drivers.score.workers.events import Answer, Failure
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


class Offline(Here):
    """Nodes without a network."""

    def give(self, number, need, work):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            super().give(number, need, work)


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


@pytest.mark.parametrize("log_from", ["driver", "worker"])
def test_a_score_of_another_device_is_no_reason_to_leave_a_node_without_weights(
    store, texts, monkeypatch, hub, tmp_path, log_from
):
    how = {"texts": texts, "workers": Workers(on="ray", log_from=log_from), "progress": False}

    def states(engine, name):
        monkeypatch.setattr(spread, "_engine", lambda *_: engine)
        rows = sweep({"models": [name]}, keep_cache=0, **how).rows
        return [(row.state, row.error) for row in rows]

    resolved = prepare.resolve
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(prepare, "resolve", lambda *a: (resolved(*a)[0], "cuda"))
        assert [states(Here(), name) for name in NAMES[:2]] == [[("scored", None)]] * 2
    assert weights_in(tmp_path / "hub") == []
    hub.requests.clear()
    assert states(Offline(), NAMES[0]) == [("scored", None)]
    assert len([r for r in hub.requests if "GET /cdn" in r and ".safetensors" in r]) == 1
    assert states(Here(), NAMES[1]) == [("scored", None)], "the node fetches it"
    assert weights_in(tmp_path / "hub") == [], "and the sweep counts that"
    assert states(Offline(), NAMES[0]) == [("skipped", None)]


def test_a_branch_that_has_moved_is_scored_anew_by_nodes_without_a_network(
    store, texts, monkeypatch, hub, tiny_models
):
    assert [r.state for r in sweep_here(monkeypatch, Offline(), NAMES[:1], texts).rows] == [
        "scored"
    ]
    hub.add(NAMES[0], tiny_models("gpt_neox", seed=1))
    models = [{"model": NAMES[0], "name": "moved"}]
    assert [r.state for r in sweep_here(monkeypatch, Offline(), models, texts).rows] == ["scored"]
    assert [r.state for r in sweep_here(monkeypatch, Offline(), models, texts).rows] == ["skipped"]


def test_why_the_sweep_could_not_fetch_is_said_where_nodes_cannot_say_it(
    store, texts, monkeypatch, hub, tiny_model
):
    hub.add("org/gated", tiny_model, gated=True)
    (row,) = sweep_here(monkeypatch, Offline(), ["org/gated"], texts).rows
    assert "could not fetch it: The model 'org/gated' is gated" in row.error
    (row,) = sweep_here(monkeypatch, Here(), ["org/gated"], texts).rows
    assert row.error.count("gated;") == 1


def test_a_library_s_panic_ends_one_model(store, texts, monkeypatch, hub):
    class Panic(BaseException):
        """As Rust's, which is no Exception."""

    made = for_nodes.model_files

    def files(request, **how):
        if request.reference.name == NAMES[1]:
            raise Panic("a lock was poisoned")
        return made(request, **how)

    monkeypatch.setattr(for_nodes, "model_files", files)
    done = sweep_here(monkeypatch, Here(), NAMES, texts)  # nodes fetch it themselves
    assert [row.state for row in done.rows] == ["scored"] * 3
    done = sweep_here(monkeypatch, Offline(), [{"model": NAMES[1], "bos": "never"}], texts)
    assert [row.state for row in done.rows] == ["scored"]


def test_no_more_lies_on_disk_than_one_beside_those_of_the_workers(
    store, texts, monkeypatch, tmp_path, tiny_models
):
    count, names = 2, [f"org/model{number}" for number in range(7)]

    class Later(Here):
        """Answers once nothing more is fetched."""

        def __init__(self):
            super().__init__()
            self.todo, self.there, self.calm = [], [], 0

        def free(self, need):
            return len(self.todo) < count

        def give(self, number, need, work):
            self.todo.append((number, work))

        def events(self, seconds):
            self.there.append(len(weights_in(tmp_path / "hub")))
            self.calm = self.calm + 1 if self.there[-2:-1] == self.there[-1:] else 0
            if self.calm < 10 or not self.todo:
                time.sleep(0.02)
                return []
            self.calm = 0
            number, work = self.todo.pop(0)
            return [Answer(number, do(work))]

    engine = Later()
    engine.count = count
    with HubServer() as hub:
        for number, name in enumerate(names):
            hub.add(name, tiny_models("gpt_neox", seed=number))
        hub.use(monkeypatch, cache=tmp_path / "hub")
        size = (tiny_models("gpt_neox", seed=0) / "model.safetensors").stat().st_size
        done = sweep_here(monkeypatch, engine, names, texts, keep_cache=2.5 * size / 1e9)
    assert [row.state for row in done.rows] == ["scored"] * len(names)
    assert 1 < max(engine.there) <= count + 1


def test_a_long_name_is_at_work_once_and_not_when_its_end_was_heard(
    store, texts, tiny_model, monkeypatch
):
    seen, name = [], "a/long/path/" * 8 + "model"
    monkeypatch.setattr(progress, "_SAID_SECONDS", 0.0)

    class Seen(Here):
        def events(self, seconds):
            (run,) = search_runs(["1"], "tags.`modelmap.kind` = 'sweep'", client())
            seen.append(sweep_status(run.info.run_id).working)
            return super().events(seconds) if len(seen) > 2 else []

    plan = [{"model": str(tiny_model), "name": name}]
    monkeypatch.setattr(spread, "_engine", lambda *_: Seen())
    how = {"texts": texts, "workers": Workers(on="ray", log_from="worker"), "progress": False}
    sweep({"models": plan}, **how)
    assert seen[2] == ()


def test_only_what_a_node_cannot_find_is_given_to_it_again(
    store, texts, monkeypatch, hub, tmp_path
):
    given, resolved = [], prepare.resolve
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(prepare, "resolve", lambda *a: (resolved(*a)[0], "cuda"))
        sweep_here(monkeypatch, Here(), NAMES[:2], texts, keep_cache=0)

    class Failing(Here):
        def give(self, number, need, work):
            given.append(work.request.reference.name)
            if work.request.reference.name == NAMES[0]:
                outcome = Failure("ScoringError", "Memory ran out.")
            elif given.count(NAMES[1]) == 1:  # it fetched, and then it was gone
                model_files(work.request)
                outcome = Failure("InputError", "The model is only partly in the local cache.")
            else:
                return super().give(number, need, work)
            return self.answers.append(Answer(number, outcome))

    done = sweep_here(monkeypatch, Failing(), NAMES[:2], texts, keep_cache=0)
    assert sorted(given) == [NAMES[0], NAMES[1], NAMES[1]]
    assert [row.state for row in done.rows] == ["failed", "scored"]
    assert weights_in(tmp_path / "hub") == [], "what the node fetched goes too"
