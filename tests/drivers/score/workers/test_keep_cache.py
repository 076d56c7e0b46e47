"""What a sweep fetches from the Hub goes again, where little is to stay; the rest does not."""

from __future__ import annotations

import pytest

from mlflow_modelmap import InputError
from mlflow_modelmap.drivers.score.sweep import sweep
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


def weights_in(folder):
    return sorted(path for path in folder.rglob("*.safetensors") if path.exists())


@pytest.mark.parametrize(("gigabytes", "workers"), [(-1, None), (float("nan"), None), (1, "ray")])
def test_room_that_cannot_be_is_refused(store, tiny_model, texts, gigabytes, workers):
    on = None if workers is None else Workers(on=workers)
    with pytest.raises(InputError, match="keep_cache"):
        sweep({"models": [str(tiny_model)]}, texts=texts, keep_cache=gigabytes, workers=on)
