"""An adapter on its base is what PEFT's unmerged model is; what PEFT leaves out is said."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mlflow_modelmap.drivers.score.resolve import resolve_model
from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.load.load import load_model
from mlflow_modelmap.scoring.model.reference import ModelReference
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from tests import adapters

WIDE = {"hidden_size": 64, "intermediate_size": 128}


def score(adapter, texts, base=None, **settings: Any) -> ScoreResult:
    on = None if base is None else ModelReference.parse(base)
    files = resolve_model(ModelReference.parse(adapter), base=on)
    return score_texts(files, texts, ScoringSettings(device="cpu", **settings))


def failure(adapter, texts, **settings: Any) -> str:
    with pytest.raises((InputError, ScoringError)) as caught:
        score(adapter, texts, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def close(result: ScoreResult, expected: np.ndarray, atol: float = 1e-3) -> None:
    np.testing.assert_allclose(result.log_likelihoods, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
def test_values_are_those_of_the_unmerged_model_in_float64(
    architecture, kind, tiny_models, tmp_path, texts
):
    base = tiny_models(architecture)
    config = {
        "lora": partial(adapters.lora, use_rslora=True, bias="none"),
        "dora": partial(adapters.lora, use_dora=True),
        "ia3": adapters.ia3,
    }[kind](architecture)
    folder = adapters.make_adapter(tmp_path / "adapter", base, config)
    made = score(folder, texts)
    close(made, adapters.unmerged_in_float64(base, folder, texts))
    alone = score(base, texts)
    assert np.std(made.log_likelihoods - alone.log_likelihoods) > 1
    assert made.provenance["adapter_merged"] is True
    assert made.provenance["parameters"] == alone.provenance["parameters"]


def test_merged_in_float32_then_cast(tiny_models, tmp_path, texts):
    base = tiny_models("llama")
    folder = adapters.make_adapter(tmp_path / "adapter", base, adapters.lora("llama"))
    loaded = {
        precision: load_model(base, precision, "cpu", ScoringSettings(), str(folder))
        for precision in ("float32", "bfloat16")
    }
    plain = load_model(base, "bfloat16", "cpu", ScoringSettings())
    wanted = {n: p.to(torch.bfloat16) for n, p in loaded["float32"].named_parameters()}
    for name, parameter in loaded["bfloat16"].named_parameters():
        assert parameter.dtype == torch.bfloat16
        assert torch.equal(parameter, wanted[name]), name
    kept = {name: buffer.dtype for name, buffer in plain.named_buffers()}
    assert {name: buffer.dtype for name, buffer in loaded["bfloat16"].named_buffers()} == kept


@pytest.mark.parametrize("precision", ["int8", "nf4"])
@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
def test_a_quantised_base_has_the_adapter_beside_it(precision, kind, tiny_models, tmp_path, texts):
    pytest.importorskip("bitsandbytes")
    from peft import PeftModel
    from transformers import AutoTokenizer

    base = tiny_models("llama", **WIDE)
    targets = [*adapters.TARGETS["llama"], "lm_head"]
    config = {
        "lora": adapters.lora("llama", target_modules=targets),
        "dora": adapters.lora("llama", use_dora=True),
        "ia3": adapters.ia3("llama"),
    }[kind]
    folder = adapters.make_adapter(tmp_path / "adapter", base, config)
    made = score(folder, texts, precision=precision)
    assert made.provenance["adapter_merged"] is False
    assert made.provenance["quantised_layers"] == 14
    tokenizer = AutoTokenizer.from_pretrained(base)
    for number in (0, 9, 23):  # PEFT's own DoRA on int8 fails on CPU from its second pass on
        quantised = load_model(base, precision, "cpu", ScoringSettings(precision=precision))
        own = PeftModel.from_pretrained(quantised, str(folder), torch_device="cpu").eval()
        expected = adapters.plain(own, [tokenizer(texts.texts[number])["input_ids"]])
        np.testing.assert_allclose(made.log_likelihoods[number], expected, atol=2e-3, rtol=0)


def grown(model: Any) -> None:
    model.resize_token_embeddings(430, mean_resizing=False)


def shrunk(model: Any) -> None:
    model.resize_token_embeddings(404, mean_resizing=False)


@pytest.mark.parametrize("change", [grown, shrunk])
@pytest.mark.parametrize("how", ["modules_to_save", "stored", "targeted"])
def test_other_embeddings_than_the_bases(change, how, tiny_models, tmp_path, texts):
    base = tiny_models("llama", vocab_size=420)
    more: dict[str, Any] = {}
    if how == "modules_to_save":
        more = {"modules_to_save": ["embed_tokens", "lm_head"]}
    elif how == "targeted":
        more = {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}
    folder = adapters.make_adapter(
        tmp_path / "adapter",
        base,
        adapters.lora("llama", **more),
        change=change,
        **({} if how == "modules_to_save" else {"save_embedding_layers": True}),
    )
    model = load_model(base, "float32", "cpu", ScoringSettings(), str(folder))
    wanted = {grown: 430, shrunk: 404}[change]
    assert len(model.get_input_embeddings().weight) == wanted
    assert len(model.get_output_embeddings().weight) == wanted
    expected = adapters.unmerged_in_float64(base, folder, texts, change)
    close(score(folder, texts), expected)


@pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
@pytest.mark.parametrize("saved", [False, True])
def test_one_end_of_tied_embeddings_changes_alone(targets, saved, tiny_models, tmp_path, texts):
    base = tiny_models("llama", tie_word_embeddings=True)
    more = {"modules_to_save": targets} if saved else {"target_modules": targets}
    folder = adapters.make_adapter(
        tmp_path / "adapter",
        base,
        adapters.lora("llama", **more),
        **({} if saved else {"save_embedding_layers": False}),
    )
    close(score(folder, texts), adapters.unmerged_in_float64(base, folder, texts))


@pytest.mark.parametrize("tied", [False, True])
def test_some_rows_of_the_embeddings_that_a_tied_head_shares(tied, tiny_models, tmp_path, texts):
    base = tiny_models("llama", tie_word_embeddings=tied)
    config = adapters.lora("llama", trainable_token_indices=[3, 17, 256, 300])
    folder = adapters.make_adapter(tmp_path / "adapter", base, config)
    close(score(folder, texts), adapters.unmerged_in_float64(base, folder, texts))


def test_new_tokens_without_rows_of_the_head_are_refused(tiny_models, tmp_path, texts):
    base = tiny_models("llama")
    config = adapters.lora("llama", modules_to_save=["embed_tokens"])
    folder = adapters.make_adapter(
        tmp_path / "adapter", base, config, change=grown, save_embedding_layers=False
    )
    assert "lacks lm_head.weight, so that scores would come from random numbers" in failure(
        folder, texts
    )


def edited(folder, edit) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.pop(FIRST), "lacks base_model.model.model.layers.0.self_attn.q_proj.lora_A"),
        (
            lambda t: t.update({FIRST.replace("q_proj", "k_proj"): t[FIRST].clone()}),
            "has no place for",
        ),
        (lambda t: t.update({FIRST: torch.ones(3, 32)}), "of shape [3, 32], and the model wants"),
        (lambda t: t.update({FIRST: torch.ones(4, 48)}), "of shape [4, 48], and the model wants"),
        (lambda t: t.update({FIRST: torch.ones(0)}), "empty tensors in place of weights"),
    ],
)
def test_what_does_not_fit_is_said(edit, said, tiny_models, tmp_path, texts):
    base = tiny_models("llama")
    folder = adapters.make_adapter(tmp_path / "adapter", base, adapters.lora("llama"))
    edited(folder, edit)
    assert said in failure(folder, texts)


def test_another_base_is_said(tiny_models, tmp_path, texts):
    folder = adapters.make_adapter(
        tmp_path / "adapter", tiny_models("llama"), adapters.lora("llama")
    )
    other = tiny_models("gpt2")
    assert "does not fit its base model: it is refused by PEFT" in failure(
        folder, texts, base=other
    )
    wider = tiny_models("llama", **WIDE)
    assert "and the model wants [4, 64]; give the base" in failure(folder, texts, base=wider)


def test_a_pickled_adapter_is_read_as_the_other_and_may_be_refused(tiny_models, tmp_path, texts):
    base = tiny_models("llama")
    folder = adapters.make_adapter(tmp_path / "adapter", base, adapters.lora("llama"))
    expected = score(folder, texts).log_likelihoods
    tensors = load_file(folder / "adapter_model.safetensors")
    torch.save(tensors, folder / "adapter_model.bin")
    assert score(folder, texts).provenance["weights_format"] == "safetensors"
    (folder / "adapter_model.safetensors").unlink()
    made = score(folder, texts)
    assert np.array_equal(made.log_likelihoods, expected)
    assert made.provenance["weights_format"] == "pickle"
    with pytest.raises(InputError, match=r"only as pickles \(adapter_model.bin\), which safetens"):
        resolve_model(ModelReference.parse(folder), refused="which safetensors_only refuses")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "is of the kind PROMPT_TUNING, and only LORA, IA3"),
        ({"peft_type": 3}, "is of the kind 3"),
        ({"megatron_config": {"a": 1}}, "uses megatron_config, which is not applied here"),
        ({"base_model_name_or_path": None}, "does not say which model it was made for; give its"),
        ({"base_model_name_or_path": "/no/such/base"}, "is '/no/such/base' where it was trained"),
        ({"base_model_name_or_path": "models:/m/1"}, "is 'models:/m/1' where it was trained"),
    ],
)
def test_a_configuration_that_cannot_be_applied_is_said(change, said, tiny_models, tmp_path, texts):
    folder = adapters.make_adapter(
        tmp_path / "adapter", tiny_models("llama"), adapters.lora("llama")
    )
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert said in failure(folder, texts)


def test_the_commit_holds_adapter_and_base(tiny_models, tmp_path, texts):
    base, other = tiny_models("llama"), tiny_models("llama", seed=1)
    folder = adapters.make_adapter(tmp_path / "adapter", base, adapters.lora("llama"))
    reference = ModelReference.parse(folder)
    files = resolve_model(reference)
    commits = {
        files.commit,
        resolve_model(ModelReference.parse(base)).commit,
        resolve_model(reference, base=ModelReference.parse(other)).commit,
    }
    assert len(commits) == 3
    assert (files.tokenizer_path, files.model_path) == (str(base), str(base))
    (folder / "README.md").write_text("more")
    assert resolve_model(reference) == files
    shutil.copy(base / "tokenizer.json", folder)
    shutil.copy(base / "tokenizer_config.json", folder)
    own = resolve_model(reference)
    assert own.tokenizer_path == str(folder)
    assert own.commit not in commits
    edited(folder, lambda tensors: tensors[FIRST].mul_(2))
    assert resolve_model(reference).commit != own.commit


def test_no_adapter_of_an_adapter_and_no_base_of_a_whole_model(tiny_models, tmp_path):
    base = tiny_models("llama")
    first = adapters.make_adapter(tmp_path / "one", base, adapters.lora("llama"))
    second = adapters.make_adapter(tmp_path / "two", base, adapters.lora("llama"), named=str(first))
    with pytest.raises(InputError, match="is an adapter itself; merge that into its own base"):
        resolve_model(ModelReference.parse(second))
    with pytest.raises(InputError, match="is a whole model and no adapter"):
        resolve_model(ModelReference.parse(base), base=ModelReference.parse(base))


def test_without_peft_one_sentence_names_the_extra(tiny_models, tmp_path, monkeypatch, texts):
    folder = adapters.make_adapter(
        tmp_path / "adapter", tiny_models("llama"), adapters.lora("llama")
    )
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    said = failure(folder, texts)
    assert "needs peft 0.13 or later, which is not installed; install `mlflow-modelmap[ada" in said
