"""The tiny models that all other tests stand on are real causal LMs with their own tokenizer."""

import pytest


@pytest.mark.parametrize("name", ["gpt_neox", "llama", "gpt2", "gemma2", "opt", "qwen2"])
def test_a_tiny_model_loads_and_depends_on_its_input(tiny_models, name):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = tiny_models(name)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    ids = torch.tensor([tokenizer("The quick brown fox")["input_ids"]])
    with torch.no_grad():
        probabilities = model(ids).logits.float().softmax(-1)
    assert probabilities.shape == (1, ids.shape[1], 400)
    assert probabilities.max() > 2 / 400


def test_a_store_is_a_fresh_sqlite_file(store):
    import mlflow

    assert mlflow.search_runs(experiment_names=["test"]).empty
