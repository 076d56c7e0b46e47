"""Scoring: a model that is in training, as it lies in memory, so that training does not notice."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mlflow_modelmap.environment import changed_environment
from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.accelerator.memory import in_training
from mlflow_modelmap.scoring.engine.live_adapter import adapter_in, adapter_off, without_peft
from mlflow_modelmap.scoring.engine.score_texts import score_model
from mlflow_modelmap.scoring.load.precision import precision_in_memory
from mlflow_modelmap.scoring.model.config import (
    model_type,
    position_limit,
    read_config,
    stored_dtype,
)
from mlflow_modelmap.scoring.settings import ScoreResult, ScoringSettings
from mlflow_modelmap.scoring.tokenizer.load import load_tokenizer, other_than_in_file
from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts, tokenize_with
from mlflow_modelmap.texts.text_set import TextSet

_PARALLEL = "TOKENIZERS_PARALLELISM"
_OF_POSITIONS = ("max_seq_len_cached", "attention_scaling", "inv_freq")
"""How the names end of what rotary embeddings keep, for each kind of layer."""
# The setter of `_attn_implementation` would change configurations inside a configuration too.
_ATTENTION, _COMPILED = "_attn_implementation_internal", "_compiled_call_impl"


def score_live(model: Any, tokens: TokenizedTexts, settings: ScoringSettings) -> ScoreResult:
    """Log-likelihoods under a model in training, in the precision of its weights.

    Gradients, training mode and autocasting are afterwards as before, and memory that PyTorch has
    cached on CUDA is not given away. Texts are scored twice only where `settings.noise` says how
    many.

    Parameters
    ----------
    model
        A causal language model of transformers, also inside DistributedDataParallel,
        `torch.compile` or a PeftModel, whose adapter belongs to it.
    tokens
        From `tokens_for`.

    Raises
    ------
    InputError
        If it is no such model, or no process holds all of its weights.
    ScoringError
        If a text has no finite value; `ScoringError.not_finite` names it.
    """
    with left_alone(model) as bare:
        made = score_model(bare, tokens, settings, noise=settings.noise or 0)
    if adapter_in(model) is not None:
        import peft

        made.provenance.update(peft=peft.__version__, adapter_merged=False)
    return made


def score_base_live(model: Any, tokens: TokenizedTexts, settings: ScoringSettings) -> ScoreResult:
    """Log-likelihoods under the base of an adapter in training, as it lies in memory.

    Raises
    ------
    InputError, ScoringError
        As `score_live`.
    """
    with left_alone(model) as bare, adapter_off(bare):
        return score_model(bare, tokens, settings, noise=0)


@contextmanager
def left_alone(model: Any) -> Iterator[Any]:
    """The model inside its wrappers, not cast; CUDA's cached blocks stay with the training.

    Raises
    ------
    InputError
        If no process holds all of its weights.
    """
    bare = unwrapped(model)
    if is_sharded(bare):
        raise InputError(
            f"The weights of this {type(bare).__name__} are spread over several processes, so that "
            "it cannot be scored as it is; save it whole, and record the saved directory."
        )
    with (
        in_training(),
        _without_autocast(bare),
        _attention_in_float32(bare),
        _not_compiled(bare),
        _quantised_as_it_is(bare),
        _positions_of(bare),
    ):
        yield bare


def tokens_for(
    model: Any, tokenizer: Any, texts: TextSet, settings: ScoringSettings
) -> TokenizedTexts:
    """The texts as the model's tokenizer gives them, fitted to its positions.

    Without the tokenizers' threads, which would make later forks of data loaders complain.

    Parameters
    ----------
    model
        The model, or the directory that holds it.
    tokenizer
        Its tokenizer; None for that in the directory.

    Raises
    ------
    InputError
        If there is no tokenizer, or a text is too long or gives nothing to score.
    """
    if tokenizer is None and isinstance(model, str):
        tokenizer = load_tokenizer(model)
    if not callable(tokenizer) or not hasattr(tokenizer, "is_fast"):
        what = "No tokenizer was" if tokenizer is None else f"A {type(tokenizer).__name__} was"
        raise InputError(
            f"{what} given; give the model's tokenizer as tokenizer=, or as the Trainer's "
            "processing_class."
        )
    with changed_environment({_PARALLEL: os.environ.get(_PARALLEL, "false")}):
        tokens = tokenize_with(tokenizer, texts, settings)
        split = settings.split_special_tokens
        other = other_than_in_file(tokenizer, texts.texts, split)
    if other:
        told = (
            f"The {type(tokenizer).__name__} at hand splits {other:,} of {len(texts):,} texts "
            "otherwise than its tokenizer.json, by which references are read; score them with "
            "tokens_from=class, and name those scores."
        )
        facts = {**tokens.facts, "tokens_from": "class", "tokenizer_class_differs": other}
        tokens = replace(tokens, facts=facts, notices=(*tokens.notices, told))
    return tokens.fitted(position_limit(_config(model)), settings)


def described(model: Any) -> dict[str, str | None]:
    """``model_type``, ``precision`` and ``base_model`` (what it was loaded from, if anything).

    Of an adapter they are its base's.
    """
    config = _config(model)
    if isinstance(model, str):
        return {
            "model_type": model_type(config),
            "precision": stored_dtype(config) or "float32",
            "base_model": None,
        }
    bare = unwrapped(model)
    return {
        "model_type": model_type(config),
        "precision": precision_in_memory(bare),
        "base_model": getattr(bare.config, "_name_or_path", None) or None,
    }


def _config(model: Any) -> dict[str, Any]:
    if isinstance(model, str):
        return read_config(model)
    bare = unwrapped(model)
    if not hasattr(bare, "get_output_embeddings") or not hasattr(bare, "config"):
        raise InputError(
            f"A {type(bare).__name__} is no causal language model of transformers; give the one "
            "that is inside it."
        )
    return dict(bare.config.to_dict())


def unwrapped(model: Any) -> Any:
    """The model inside DistributedDataParallel, DataParallel, `torch.compile` and a PeftModel.

    Raises
    ------
    InputError
        If its adapter is none of its layers'.
    """
    wrappers = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
    while True:
        if isinstance(model, wrappers):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif (inside := without_peft(model)) is not model:
            model = inside
        else:
            return model


def is_sharded(model: Any) -> bool:
    """Whether this process holds only a part of the weights (FSDP, DeepSpeed's ZeRO-3)."""
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        return True
    # FSDP2 keeps DTensors; ZeRO-3 marks what it has taken apart.
    return any(hasattr(p, "device_mesh") or hasattr(p, "ds_id") for p in model.parameters())


def is_main_process() -> bool:
    """Whether this is the one process of a distributed training that logs."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return True


@contextmanager
def generators_kept() -> Iterator[None]:
    """Whatever draws random numbers in here (MLflow does, for names), it changes no later draw.

    Nor does it follow the training's seed: runs of all trainings with one seed would have one name.
    """
    own, legacy = random.getstate(), np.random.get_state()
    random.seed()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(own)
        np.random.set_state(legacy)


@contextmanager
def _without_autocast(model: Any) -> Iterator[None]:
    """The weights' own precision, where a trainer made the model's forward cast (accelerate)."""
    casting = model.__dict__.get("forward")
    plain = model.__dict__.get("_original_forward")
    swapped = casting is not None and plain is not None
    if swapped:
        model.forward = plain
    device = next((p.device.type for p in model.parameters()), "cpu")
    try:
        with torch.autocast(device_type=device, enabled=False):
            yield
    finally:
        if swapped:
            model.forward = casting


@contextmanager
def _attention_in_float32(model: Any) -> Iterator[None]:
    """PyTorch's attention, where flash attention, which knows half precision alone, got cast."""
    weights = next((p for p in model.parameters() if p.is_floating_point()), None)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    if weights is None or weights.dtype != torch.float32:
        configs = {}
    named = [(config, getattr(config, _ATTENTION, None)) for config in configs.values()]
    flash = [(config, name) for config, name in named if "flash" in (name or "")]
    instead = "sdpa" if getattr(model, "_supports_sdpa", True) else "eager"
    try:
        for config, _ in flash:
            setattr(config, _ATTENTION, instead)
        yield
    finally:
        for config, name in flash:
            setattr(config, _ATTENTION, name)


@contextmanager
def _not_compiled(model: torch.nn.Module) -> Iterator[None]:
    """As it is written, where `model.compile()` was called: a compiled graph asks no hooks."""
    compiled = {
        module: call
        for module in model.modules()
        if (call := getattr(module, _COMPILED, None)) is not None
    }
    try:
        for module in compiled:
            setattr(module, _COMPILED, None)
        yield
    finally:
        for module, call in compiled.items():
            setattr(module, _COMPILED, call)


@contextmanager
def _quantised_as_it_is(model: Any) -> Iterator[None]:
    """bitsandbytes packs 4-bit weights for inference on some CPUs, and no gradient passes those."""
    kept = [
        (parameter, parameter.data, copy.copy(parameter.quant_state))
        for parameter in model.parameters()
        if getattr(parameter, "quant_state", None) is not None
    ]
    try:
        yield
    finally:
        for parameter, data, state in kept:
            parameter.data = data
            vars(parameter.quant_state).clear()
            vars(parameter.quant_state).update(vars(state))


@contextmanager
def _positions_of(model: torch.nn.Module) -> Iterator[None]:
    """Dynamic rotary embeddings keep what the training's longest text so far made of them."""
    kept = []
    for module in model.modules():
        if any(name.endswith("max_seq_len_cached") for name in vars(module)):
            own = {n: v for n, v in vars(module).items() if n.endswith(_OF_POSITIONS)}
            kept.append((module, own, dict(module._buffers)))
    try:
        yield
    finally:
        for module, own, buffers in kept:
            vars(module).update(own)
            module._buffers.update(buffers)
