"""Adapters of one base that is read once: to the bit what each is on a base of its own."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlflow_modelmap.drivers.score.resolve import resolve_model
from mlflow_modelmap.errors import ScoringError
from mlflow_modelmap.scoring.engine.score_texts import score_texts
from mlflow_modelmap.scoring.load import untouched
from mlflow_modelmap.scoring.load.loaded_base import LoadedBase, base_key
from mlflow_modelmap.scoring.model.reference import ModelFiles, ModelReference
from mlflow_modelmap.scoring.settings import ScoringSettings
from mlflow_modelmap.texts.text_set import TextSet
from tests import adapters
from tests.gguf_model import write_gguf

WIDE = {"hidden_size": 64, "intermediate_size": 128}
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture
def few(texts) -> TextSet:
    """Some of the texts."""
    return TextSet("few texts", texts.texts[::5])


def files_of(model: Any, base: Any = None) -> ModelFiles:
    return resolve_model(
        ModelReference.parse(model), base=None if base is None else ModelReference.parse(base)
    )


def one_after_the_other(
    models: list[ModelFiles], few, settings: ScoringSettings
) -> Iterator[tuple[np.ndarray, LoadedBase]]:
    base = LoadedBase()
    keys = [base_key(files, settings) for files in models]
    for files, base.expected in zip(models, [*keys[1:], None], strict=True):
        yield score_texts(files, few, settings, base=base).log_likelihoods, base


def same_to_the_bit(models: list[ModelFiles], few, settings: ScoringSettings) -> LoadedBase:
    """Score them all, and each by itself; how often weights were read is in what is returned."""
    done = list(one_after_the_other(models, few, settings))
    for files, (values, _) in zip(models, done, strict=True):
        assert np.array_equal(values, score_texts(files, few, settings).log_likelihoods)
    assert not done[-1][1].holds
    return done[-1][1]


def grown(model: Any) -> None:
    model.resize_token_embeddings(430, mean_resizing=False)


def kinds(folder: Path, base: Path, architecture: str) -> list[Path]:
    """Adapters that change a base in every way there is; the first once more at the end."""
    lora, queries = adapters.lora, {"target_modules": ["q_proj"]}
    made: dict[str, tuple[Any, dict[str, Any]]] = {
        "lora": (lora(architecture), {}),
        "dora": (lora(architecture, use_dora=True), {}),
        "ia3": (adapters.ia3(architecture), {}),
    }
    if architecture == "llama":
        end = lora("llama", target_modules=["embed_tokens"])
        tokens = lora("llama", **queries, trainable_token_indices=[3, 5, 399])
        made |= {
            "saved": (lora("llama", **queries, modules_to_save=["lm_head", "norm"]), {}),
            "grown": (lora("llama", **queries), {"change": grown, "save_embedding_layers": True}),
            "end": (end, {"save_embedding_layers": False}),
            "tokens": (tokens, {}),
        }
    return [
        adapters.make_adapter(folder / name, base, config, seed=seed, **more)
        for seed, (name, (config, more)) in enumerate(made.items())
    ] + [folder / "lora"]


@pytest.mark.parametrize(
    ("architecture", "options", "precision"),
    [
        ("llama", {"tie_word_embeddings": False}, "bfloat16"),
        ("llama", {"tie_word_embeddings": True}, "float32"),
        ("gpt2", {}, "float32"),
    ],
    ids=["llama", "tied llama", "gpt2"],
)
def test_numbers_are_those_of_a_fresh_base(
    architecture, options, precision, tiny_models, tmp_path, few, monkeypatch
):
    monkeypatch.setattr(untouched, "MOST_COPIED", 9.0)
    base = tiny_models(architecture, **options)
    models = [files_of(folder) for folder in kinds(tmp_path, base, architecture)]
    done = same_to_the_bit(models, few, ScoringSettings(precision=precision, device="cpu"))
    assert done.loads == 1


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_a_quantised_base_is_quantised_once(precision, tiny_models, tmp_path, few):
    pytest.importorskip("bitsandbytes")
    base = tiny_models("llama", **WIDE)
    targets = {"target_modules": [*adapters.TARGETS["llama"], "lm_head"]}
    configs = [
        adapters.lora("llama", **targets, modules_to_save=["norm"]),
        adapters.lora("llama", use_dora=True),
        adapters.ia3("llama"),
    ]
    made = [
        adapters.make_adapter(tmp_path / str(n), base, config, seed=n)
        for n, config in enumerate(configs)
    ]
    models = [files_of(folder) for folder in [*made, base, made[1]]]
    settings = ScoringSettings(precision=precision, device="cpu")
    assert same_to_the_bit(models, few, settings).loads == 1


def test_a_gguf_base_is_read_once(tiny_models, tmp_path, few):
    pytest.importorskip("gguf")
    folder = tiny_models("llama", num_hidden_layers=1)
    write_gguf(tmp_path / "base.gguf", folder)
    made = [
        adapters.make_adapter(tmp_path / str(seed), folder, adapters.lora("llama"), seed=seed)
        for seed in range(2)
    ]
    for one in made:
        AutoTokenizer.from_pretrained(folder).save_pretrained(one)
    models = [files_of(one, tmp_path / "base.gguf") for one in made]
    assert same_to_the_bit(models, few, ScoringSettings(device="cpu")).loads == 1


def test_the_base_itself_is_one_of_them(tiny_models, tmp_path, few):
    base = tiny_models("llama")
    queries = adapters.lora("llama", target_modules=["q_proj"])
    made = adapters.make_adapter(tmp_path / "a", base, queries)
    models = [files_of(one) for one in (base, made, base, made)]
    assert same_to_the_bit(models, few, ScoringSettings(device="cpu")).loads == 1


def test_overflow_in_float16_spoils_nothing(tiny_models, tmp_path, few):
    base = tiny_models("llama")
    made = []
    for seed, size in enumerate((0.2, 1.2e4, 0.2)):  # the second overflows: scored in float32

        def enlarge(model: Any, size: float = size) -> None:
            with torch.no_grad():
                model.lm_head.weight.mul_(size / model.lm_head.weight.std())

        config = adapters.lora("llama", target_modules=["q_proj"], modules_to_save=["lm_head"])
        made.append(
            adapters.make_adapter(tmp_path / str(seed), base, config, seed=seed, change=enlarge)
        )
    models = [files_of(one) for one in made]
    settings = ScoringSettings(device="cpu", precision="float16")
    assert score_texts(models[1], few, settings).provenance["retried"] > 0
    assert same_to_the_bit(models, few, settings).loads == 1


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
def test_at_most_half_of_the_base_is_held_twice(stored, tmp_path, few, tiny_models):
    """A base of 32 bits is loaded anew after adapters of all its layers; 16 bits are a half."""
    base = tmp_path / "base"
    source = tiny_models("llama", num_hidden_layers=4)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, stored))
    model.save_pretrained(base)
    AutoTokenizer.from_pretrained(source).save_pretrained(base)
    every = adapters.lora("llama", target_modules=ALL)
    queries = adapters.lora("llama", target_modules=["q_proj"])
    made = [
        files_of(adapters.make_adapter(tmp_path / str(n), base, config, seed=n))
        for n, config in enumerate((every, every, queries, queries))
    ]
    settings = ScoringSettings(device="cpu", precision="float32")
    assert same_to_the_bit(made, few, settings).loads == {"float32": 3, "bfloat16": 1}[stored]


@pytest.mark.heavy
def test_another_base_is_loaded_after_the_first_is_gone(tiny_models, tmp_path, few, monkeypatch):
    from mlflow_modelmap.scoring.load import load

    real, alive = load._read, []

    def read(*arguments: Any) -> Any:
        gc.collect()
        assert not any(one() for one in alive), "two bases in memory"
        model = real(*arguments)
        alive.append(weakref.ref(model))
        return model

    monkeypatch.setattr(load, "_read", read)
    made = [
        files_of(adapters.make_adapter(tmp_path / f"{n}", base, adapters.lora("llama"), seed=n))
        for n, base in enumerate((tiny_models("llama"), tiny_models("llama", seed=1)))
    ]
    settings = ScoringSettings(device="cpu")
    models = [made[0], made[0], made[1], made[1]]
    done = list(one_after_the_other(models, few, settings))
    assert done[-1][1].loads == len(alive) == 2
    gc.collect()
    assert not any(one() for one in alive)
    # what was expected does not come
    keeper = LoadedBase()
    keeper.expected = base_key(made[0], settings)
    score_texts(made[0], few, settings, base=keeper)
    assert keeper.holds
    score_texts(made[1], few, settings, base=keeper)
    assert not keeper.holds


def test_a_failure_leaves_no_base_behind(tiny_models, tmp_path, few):
    base = tiny_models("llama")
    good = adapters.make_adapter(tmp_path / "good", base, adapters.lora("llama"))
    wide = adapters.make_adapter(
        tmp_path / "wide", tiny_models("llama", **WIDE), adapters.lora("llama")
    )
    settings, keeper = ScoringSettings(device="cpu"), LoadedBase()
    keeper.expected = base_key(files_of(good), settings)
    before = score_texts(files_of(good), few, settings, base=keeper).log_likelihoods
    with pytest.raises(ScoringError, match="does not fit"):
        score_texts(files_of(wide, base), few, settings, base=keeper)
    assert not keeper.holds
    after = score_texts(files_of(good), few, settings, base=keeper).log_likelihoods
    assert np.array_equal(before, after)
    assert keeper.loads == 2


def test_a_base_that_is_not_what_it_was_is_loaded_anew(tiny_models, tmp_path, few):
    files = files_of(
        adapters.make_adapter(tmp_path / "a", tiny_models("llama"), adapters.lora("llama"))
    )
    settings, keeper = ScoringSettings(device="cpu"), LoadedBase()
    keeper.expected = base_key(files, settings)
    first = score_texts(files, few, settings, base=keeper).log_likelihoods
    weight = keeper._kept._model.model.norm.weight
    weight.data[3] += 2**-20
    assert np.array_equal(score_texts(files, few, settings, base=keeper).log_likelihoods, first)
    assert keeper.loads == 2


def test_nothing_is_copied_for_a_score_by_itself(tiny_models, tmp_path, few, monkeypatch):
    made = []
    monkeypatch.setattr(untouched.Untouched, "__init__", lambda *a: made.append(a))
    files = files_of(
        adapters.make_adapter(tmp_path / "a", tiny_models("llama"), adapters.lora("llama"))
    )
    settings = ScoringSettings(device="cpu")
    score_texts(files, few, settings)
    score_texts(files, few, settings, base=LoadedBase())
    assert not made


@pytest.mark.parametrize(
    "other",
    [
        {"precision": "nf4"},
        {"precision": "int8", "int8_threshold": 6.0},
        {"device_map": "auto"},
        {"trust_remote_code": True},
        {"safetensors_only": True},
    ],
)
def test_whatever_is_loaded_otherwise_is_another_base(other, tiny_models, tmp_path):
    files = files_of(
        adapters.make_adapter(tmp_path / "a", tiny_models("llama"), adapters.lora("llama"))
    )
    plain = ScoringSettings(device="cpu")
    assert base_key(files, plain) == base_key(
        files, ScoringSettings(device="cpu", precision="bfloat16")
    )
    assert base_key(files, plain) == base_key(files_of(tiny_models("llama")), plain)
    assert base_key(files, plain) != base_key(files, ScoringSettings(device="cpu", **other))
