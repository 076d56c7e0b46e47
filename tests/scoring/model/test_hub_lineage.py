"""Parents in the Hub's metadata, in all their shapes, and the Hub's error answers."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from mlflow_modelmap.scoring.model import hub as hub_module
from mlflow_modelmap.scoring.model.hub_lineage import HubParents, ask_hub, parents_in
from tests.hub_server import HubServer


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with HubServer() as server:
        server.use(monkeypatch, tmp_path / "cache")
        yield server


def card(**entries):
    return SimpleNamespace(base_models=None, card_data=SimpleNamespace(**entries))


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (
            SimpleNamespace(
                base_models={"relation": "adapter", "models": [{"_id": "1", "id": "o/a"}]},
                card_data=SimpleNamespace(base_model="o/other"),
            ),
            HubParents(("o/a",), "adapter"),
        ),
        (
            SimpleNamespace(
                base_models=[{"relation": "quantized", "models": [{"id": "o/a"}]}], card_data=None
            ),
            HubParents(("o/a",), "quantized"),
        ),
        (
            SimpleNamespace(base_models=["o/a", "o/b"], card_data=None),
            HubParents(("o/a", "o/b"), "merge"),
        ),
        (SimpleNamespace(base_models=[{"id": "o/a"}], card_data=None), HubParents(("o/a",))),
        (card(base_model="o/a"), HubParents(("o/a",))),
        (
            card(base_model=["o/a"], base_model_relation="finetune"),
            HubParents(("o/a",), "finetune"),
        ),
        (card(base_model=["o/a", "o/a", "o/b"]), HubParents(("o/a", "o/b"), "merge")),
        (card(base_model=""), HubParents(())),
        (card(base_model=None, base_model_relation="merge"), HubParents(())),
        (card(), HubParents(())),
        (SimpleNamespace(base_models={"relation": "finetune", "models": []}), HubParents(())),
        (
            SimpleNamespace(
                base_models=None,
                card_data=SimpleNamespace(base_model="o/a"),
                tags=["x", "base_model:o/a", "base_model:quantized:o/a"],
            ),
            HubParents(("o/a",), "quantized"),
        ),
    ],
)
def test_every_shape_is_read(info, expected):
    assert parents_in(info) == expected


def test_the_real_client_reads_them_over_the_wire(hub):
    hub.add("org/base", {})
    hub.add("org/child", {}, base_models=["org/base"], relation="finetune")
    hub.add("org/merge", {}, base_models=["org/base", "org/child"], relation="merge")
    hub.add("org/card", {}, cardData={"base_model": ["org/base"]})
    found, notices = ask_hub(["org/base", "org/child", "org/merge", "org/card"])
    assert notices == []
    assert found == {
        "org/base": HubParents(()),
        "org/child": HubParents(("org/base",), "finetune"),
        "org/merge": HubParents(("org/base", "org/child"), "merge"),
        "org/card": HubParents(("org/base",)),
    }


def test_a_missing_model_is_said_and_the_next_is_asked(hub):
    hub.add("org/child", {}, base_models=["org/base"])
    found, (notice,) = ask_hub(["org/missing", "org/child"])
    assert "There is no model 'org/missing'" in notice
    assert set(found) == {"org/child"}


def test_a_hub_that_is_down_is_asked_once(hub):
    hub.status = 503
    found, (notice,) = ask_hub(["org/a", "org/b", "org/c"])
    assert found == {}
    assert "parents of 3 models (it answers 503)" in notice
    assert sum("org/b" in request for request in hub.requests) == 0


def test_a_refused_connection_is_one_sentence(hub):
    hub.close()
    begun = time.monotonic()
    found, (notice,) = ask_hub(["org/a", "org/b"])
    assert time.monotonic() - begun < hub_module.DEADLINE_SECONDS + 3
    assert found == {}
    assert "could not be asked for the parents of 2 models" in notice
    assert "\n" not in notice


def test_a_silent_hub_is_left_in_time(hub, monkeypatch):
    hub.silent = True
    monkeypatch.setattr(hub_module, "DEADLINE_SECONDS", 0.5)
    begun = time.monotonic()
    _, (notice,) = ask_hub(["org/a"])
    assert time.monotonic() - begun < 5
    assert "parents of 1 model (" in notice


def test_offline_asks_nobody(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    getattr(_http, "reset_sessions", lambda: None)()  # of huggingface_hub 0.34, which looked before
    _, (notice,) = ask_hub(["org/a"])
    assert "HF_HUB_OFFLINE is set" in notice
    assert hub.requests == []


def test_a_name_that_cannot_be_is_said(hub):
    found, notices = ask_hub(["org/" + "x" * 120])
    assert found == {}
    assert len(notices) == 1
