"""`modelmap layers --exact` from a scored model to its run and back."""

from __future__ import annotations

import dataclasses
import json

import mlflow
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mlflow_modelmap import load_layers, score
from mlflow_modelmap.drivers.exact.exact import ExactOptions
from mlflow_modelmap.drivers.study.layers import study_layers
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from mlflow_modelmap.surfaces.cli import main
from mlflow_modelmap.texts.write import write_texts
from tests.tracking.conftest import write_run  # noqa: F401 - a fixture

SETTINGS = ScoringSettings(device="cpu")


def by_hand(path, texts):
    """KL(last || embeddings) of each text in nats by the model's own modules, and its bytes."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
    tokens, found = tokenize(path, texts, SETTINGS), []
    for ids in tokens.ids:
        with torch.no_grad():
            out = model(torch.tensor(ids)[None], output_hidden_states=True, use_cache=False)
            scored = slice(tokens.first - 1, len(ids) - 1)
            p = out.logits[0, scored].log_softmax(-1)
            q = model.lm_head(model.model.norm(out.hidden_states[0]))[0, scored].log_softmax(-1)
        found.append(float((p.exp() * (p - q)).sum()))
    return np.array(found), tokens.bytes


@pytest.mark.drawn
def test_it_is_logged_told_and_loaded_back(store, tiny_models, texts, tmp_path, capsys):
    # Pieces of twelve documents: the error is over documents.
    texts = dataclasses.replace(texts, documents=tuple(str(i // 2) for i in range(len(texts))))
    path = tiny_models("llama", 1)
    write_texts(texts, tmp_path / "texts.jsonl")
    score(str(path), tmp_path / "texts.jsonl", layers=True, device="cpu", progress=False)
    with pytest.raises(SystemExit) as done:
        main(["layers", "--exact", "--device", "cpu", "--json", "--quiet"])
    assert done.value.code == 0
    told = json.loads(capsys.readouterr().out)
    nats, size = by_hand(path, texts)
    kl = nats.sum() / (size.sum() * np.log(2))
    sums = (nats - kl * size * np.log(2)).reshape(12, 2).sum(1)
    se = np.sqrt((sums**2).sum() * 12 / 11) / (size.sum() * np.log(2))
    assert [row["layer"] for row in told["exact"]] == [0, 1]
    assert told["exact"][0]["forward"] == pytest.approx(kl, rel=1e-5)
    assert told["exact"][0]["forward_se"] == pytest.approx(se, rel=1e-4)
    assert told["exact"][0]["texts"] == len(texts)

    study = load_layers(told["run_id"])
    assert study.exact.to_dict("records") == told["exact"]
    history = mlflow.MlflowClient(store).get_metric_history(
        study.run_id, "modelmap/layer_exact_forward"
    )
    assert {m.step: m.value for m in history} == dict(
        zip(study.exact["layer"], study.exact["forward"], strict=True)
    )

    few = study_layers(exact=True, options=ExactOptions(count=5, device="cpu"))
    assert set(few.exact["texts"]) == {5}


def test_a_model_that_is_gone_is_named(write_run):  # noqa: F811
    layers = {k: -40 + np.random.default_rng(k).normal(size=30) for k in range(2)}
    write_run("gone", layers[1], layers=layers)
    assert study_layers(["test"]).exact is None
    with pytest.raises(InputError, match="texts"):
        study_layers(["test"], exact=True)
