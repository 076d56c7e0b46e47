"""Scoring: a model in training that is an adapter on its base (PEFT), as it lies in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlflow_modelmap.errors import InputError
from mlflow_modelmap.scoring.model.adapter import kind_called


@dataclass(frozen=True)
class LiveAdapter:
    """An adapter that is being trained.

    Attributes
    ----------
    kind
        As PEFT calls it, in small letters: ``lora``, ``ia3``, ...; ``dora`` for a LoRA with
        `use_dora`.
    base
        What its base was loaded from, if anything is known of it.
    revision
        That of a base of the Hub, where one is known: a commit, branch or tag.
    """

    kind: str
    base: str | None
    revision: str | None


def without_peft(model: Any) -> Any:
    """The model of transformers inside a PeftModel, whose layers hold the adapter."""
    if not _is_peft_model(model):
        return model
    _check_in_layers(model)
    return model.get_base_model()


def _is_peft_model(model: Any) -> bool:
    return hasattr(model, "peft_config") and callable(getattr(model, "get_base_model", None))


def _check_in_layers(model: Any) -> None:
    """Refuse adapters that are virtual tokens."""
    config = model.active_peft_config
    if config.is_prompt_learning:
        raise InputError(
            f"This adapter is of the kind {_kind(config)}, which puts virtual tokens before a text "
            "and no weights into the model; it cannot be recorded. Adapters in the model's layers "
            "(LoRA, DoRA, IA3, ...) can."
        )


def adapter_in(model: Any) -> LiveAdapter | None:
    """The adapter of a model that is one: a PeftModel, or one of transformers with adapters in it.

    Also inside other wrappers; None for whole models.
    """
    for module in model.modules():
        configs = getattr(module, "peft_config", None)
        if isinstance(configs, dict) and configs:
            break
    else:
        return None
    peft = _is_peft_model(module)
    config = module.active_peft_config if peft else next(reversed(configs.values()))
    loaded = getattr(without_peft(module), "config", None)
    base = getattr(loaded, "_name_or_path", None) or config.base_model_name_or_path
    revision = getattr(loaded, "_commit_hash", None) or config.revision
    return LiveAdapter(_kind(config), base or None, revision or None)


def _kind(config: Any) -> str:
    kind = getattr(config.peft_type, "value", config.peft_type)
    return kind_called(str(kind), bool(getattr(config, "use_dora", False)))


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """The base alone; no parameter's gradient is switched off or on by it, as PEFT would."""
    switches = [module for module in model.modules() if hasattr(module, "_disable_adapters")]
    were = [module._disable_adapters for module in switches]
    for module in switches:
        module._disable_adapters = True
    try:
        yield
    finally:
        for module, was in zip(switches, were, strict=True):
            module._disable_adapters = was
