"""What a sweep fetches from the Hub goes again, where little is to stay; the rest does not."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score import sweep_work
from mlflow_modelmap.drivers.score.claims import Held
from mlflow_modelmap.drivers.score.sweep import sweep
from mlflow_modelmap.drivers.score.workers import fan_out
from mlflow_modelmap.drivers.score.workers.options import Workers
from mlflow_modelmap.scoring.model.hub import snapshot
from mlflow_modelmap.scoring.model.reference import ModelReference
from tests.hub_server import HubServer


@pytest.mark.parametrize("workers", [None, Workers(count=1, threads=1)])
@pytest.mark.usefixtures("quick_workers")
def test_weights_go_and_what_is_scored_is_not_fetched_again(
    store, tiny_models, texts, monkeypatch, tmp_path, workers
):
    cache, names = tmp_path / "hub" / "hub", [f"org/model{seed}" for seed in range(3)]
    with HubServer() as hub:
        for seed, name in enumerate(names):
            hub.add(name, tiny_models("gpt_neox", seed=seed))
        hub.use(monkeypatch, cache=tmp_path / "hub")
        before = snapshot(ModelReference.parse(names[0]))
        plan, how = {"models": names}, {"texts": texts, "workers": workers, "progress": False}
        done = sweep(plan, keep_cache=0, **how)
        assert [(row.state, row.error) for row in done.rows] == [("scored", None)] * 3
        left = [p.relative_to(cache).parts[0] for p in weights_in(cache)]
        assert left == ["models--org--model0"]
        assert before.model_path
        assert len(list(cache.rglob("config.json"))) == 3
        sizes = [p.stat().st_size for p in cache.glob("*/blobs/*")]
        large = (tiny_models("gpt_neox", seed=1) / "model.safetensors").stat().st_size
        assert sizes.count(large) == 1
        hub.requests.clear()
        again = sweep(plan, keep_cache=0, **how)
        assert [row.state for row in again.rows] == ["skipped"] * 3
        assert not [request for request in hub.requests if ".safetensors" in request]
        sweep({"models": names[1:]}, again=True, keep_cache=1, **how)
        assert len(weights_in(cache)) == 3


@pytest.mark.parametrize("workers", [None, Workers(count=1, threads=1)])
@pytest.mark.usefixtures("quick_workers")
def test_copies_of_one_model_share_what_was_fetched_once(
    store, tiny_models, texts, monkeypatch, tmp_path, workers
):
    """The second was prepared before the first had ended, and its weights were taken from it."""
    plan = [
        {"model": "org/model1", "precision": "float32"},
        {"model": "org/model2", "precision": "float32"},
        {"model": "org/model1", "precision": "bfloat16"},
    ]
    left = []
    with HubServer() as hub:
        for seed in (1, 2):
            hub.add(f"org/model{seed}", tiny_models("gpt_neox", seed=seed))
        hub.use(monkeypatch, cache=tmp_path / "hub")

        def tell(row):
            left.append(sorted(p.parts[-4][-6:] for p in weights_in(tmp_path / "hub")))

        how = {"texts": texts, "workers": workers, "keep_cache": 0, "progress": False, "tell": tell}
        done = sweep({"models": plan}, **how)
        assert [(row.state, row.error) for row in done.rows] == [("scored", None)] * 3
        assert [row.precision for row in done.rows] == ["float32", "float32", "bfloat16"]
        assert hub.fetched().count("model.safetensors") == 2
    if workers is None:
        assert left == [["model1"], [], []]
    assert left[-1] == []


@pytest.mark.parametrize("workers", [None, Workers(count=1, threads=1)])
@pytest.mark.usefixtures("quick_workers")
def test_what_others_score_is_fetched_again_if_it_comes_back(
    store, tiny_models, texts, monkeypatch, tmp_path, workers
):
    """Many such models, kept until the end, would be all that the bound was to prevent."""
    room, left, vain = fan_out if workers else sweep_work, {}, []
    claim = room.claim

    def other_was_faster(prepared, run, *more):
        if not vain:
            vain.append(prepared.request.point_name)
            run.in_vain = True
            raise Held(run.store.get_run(run.run_id))
        claim(prepared, run, *more)

    def tell(row):
        left[row.point] = [p.parts[-4] for p in weights_in(tmp_path / "hub")]

    monkeypatch.setattr(room, "claim", other_was_faster)
    monkeypatch.setattr(room, "still_held", lambda *_: len(left) < 1)
    with HubServer() as hub:
        for seed in (1, 2):
            hub.add(f"org/model{seed}", tiny_models("gpt_neox", seed=seed))
        hub.use(monkeypatch, cache=tmp_path / "hub")
        plan, how = {"models": ["org/model1", "org/model2"]}, {"progress": False, "tell": tell}
        done = sweep(plan, texts=texts, keep_cache=0, workers=workers, **how)
    assert [(row.state, row.error) for row in done.rows] == [("scored", None)] * 2
    assert vain == ["model1"]
    assert list(left.items()) == [("model2", []), ("model1", [])]


def test_weights_of_models_that_are_refused_go_too(
    store, tiny_models, texts, monkeypatch, tmp_path
):
    """Which is found out of the second once it is there."""
    plan = ["org/model1", {"model": "org/model2", "device": "cuda:99"}]
    with HubServer() as hub:
        for seed in (1, 2):
            hub.add(f"org/model{seed}", tiny_models("gpt_neox", seed=seed))
        hub.use(monkeypatch, cache=tmp_path / "hub")
        done = sweep({"models": plan}, texts=texts, keep_cache=0, progress=False)
        assert [row.state for row in done.rows] == ["scored", "failed"]
        assert "cuda" in done.rows[1].error
        assert any(".safetensors" in line and "model2" in line for line in hub.requests)
    assert weights_in(tmp_path / "hub") == []


def weights_in(folder):
    return sorted(path for path in folder.rglob("*.safetensors") if path.exists())


@pytest.mark.parametrize("gigabytes", [-1, float("nan")])
def test_room_that_cannot_be_is_refused(store, tiny_model, texts, gigabytes):
    with pytest.raises(InputError, match="keep_cache"):
        sweep({"models": [str(tiny_model)]}, texts=texts, keep_cache=gigabytes)
