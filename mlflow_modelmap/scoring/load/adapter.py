"""Scoring: an adapter (LoRA, DoRA, IA3) applied to a model in memory, merged where that can be.

What is scored is what PEFT's own unmerged model computes; whatever PEFT would leave out or make up
in silence is an error here.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from mlflow_modelmap.errors import InputError, ScoringError
from mlflow_modelmap.scoring.load.unpickle import tensors_of
from mlflow_modelmap.scoring.model.training_state import empty_tensors
from mlflow_modelmap.scoring.model.weights_format import ADAPTER_WEIGHTS, adapter_weights
from mlflow_modelmap.words.listed import listed
from mlflow_modelmap.words.reason import reason

Tensors = dict[str, torch.Tensor]

_PREFIX = "base_model.model."
_OF_ADAPTERS = ("lora_", "ia3_", ".modules_to_save.", "trainable_tokens_")
"""In the names of all parameters that come from an adapter and not from its base."""
_OTHER_SIZE = re.compile(r"size mismatch for (\S+):.*?Size\((\[[\d, ]*\]).*?Size\((\[[\d, ]*\])")


def with_adapter(
    model: Any,
    path: str,
    dtype: torch.dtype | None,
    before_change: Callable[[Iterable[Any], Iterable[Any]], Any] | None = None,
) -> Any:
    """A model with an adapter applied; the model that is given is changed.

    Parameters
    ----------
    model
        The base, in float32 if the adapter is to be merged.
    path
        Directory of the adapter.
    dtype
        Of the weights after merging; None over a quantised base, whose layers get the adapter
        beside them while all others are merged.

    Raises
    ------
    ScoringError
        If the adapter and the base do not fit together.
    """
    from peft import PeftConfig, PeftModel, set_peft_model_state_dict

    tensors = _read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            config = PeftConfig.from_pretrained(path)
            config.inference_mode = True
            random = _fit_embeddings(model, tensors, config, path)
            wrapped = PeftModel(model, config)
            result: Any = set_peft_model_state_dict(wrapped, dict(tensors))
        except ScoringError:
            raise
        except KeyError as error:
            raise _does_not_fit(path, f"lacks {error.args[0] if error.args else error}") from error
        except Exception as error:
            raise _does_not_fit(path, _told(error)) from error
        unknown = sorted(k for k in result.unexpected_keys if not _twice(k, tensors))
        absent = _absent(wrapped, result.missing_keys)
        if unknown:
            raise _does_not_fit(
                path, f"holds {listed(unknown, 1, quoted=False)}, which the model has no place for"
            )
        if absent or random:
            raise _does_not_fit(
                path,
                f"lacks {listed(absent or random, 1, quoted=False)}, so that scores would come "
                "from random numbers",
            )
        _untie(wrapped.base_model.model)
        if before_change is not None:
            before_change(*_changed(wrapped, quantised=dtype is None))
        if dtype is None:
            return _merged_but_for_quantised(wrapped.base_model.model)
        try:
            return _cast(wrapped.merge_and_unload(), dtype)
        except Exception as error:
            raise ScoringError(
                f"The adapter in {path!r} cannot be merged: {reason(error)}."
            ) from error


def _read(path: str) -> Tensors:
    """The tensors of an adapter's file of weights."""
    name, what = adapter_weights(os.listdir(path)), repr(path)
    if name is None:
        raise InputError(f"The adapter in {what} has no weights ({ADAPTER_WEIGHTS}).")
    if name != ADAPTER_WEIGHTS:
        return tensors_of(path, [name], what)
    from safetensors.torch import load_file

    tensors = load_file(os.path.join(path, name))
    empty = [key for key, tensor in tensors.items() if tuple(tensor.shape) == (0,)]
    if empty:
        raise empty_tensors(empty, what)
    return tensors


def _absent(wrapped: Any, missing: Iterable[str]) -> list[str]:
    """Parameters of an adapter that nothing was stored of, under no name that they have."""
    every, lacking = dict(wrapped.named_parameters(remove_duplicate=False)), set(missing)
    stored = {id(parameter) for name, parameter in every.items() if name not in lacking}
    return sorted(
        name
        for name in lacking
        if any(of in name for of in _OF_ADAPTERS) and id(every.get(name)) not in stored
    )


def _twice(key: str, tensors: Tensors) -> bool:
    """Whether PEFT stored a tensor under its own name as well: embeddings that were resized."""
    return ".modules_to_save." in key and key.replace(".modules_to_save.", ".") in tensors


def _fit_embeddings(model: Any, tensors: Tensors, config: Any, path: str) -> list[str]:
    """Give the base as many tokens as the adapter was trained with, where it stores embeddings.

    Returns
    -------
    list of str
        Weights that would then have random rows: new tokens of which the adapter stores nothing.
    """
    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    stored = {
        part: _stored(model, module, tensors) for part, module in (("in", into), ("out", out))
    }
    rows = {len(tensor) for tensor in stored.values() if tensor is not None}
    before = len(into.weight)
    if not rows or rows == {before}:
        return []
    if len(rows) > 1:
        raise _does_not_fit(
            path, f"stores embeddings and a head of different sizes, {sorted(rows)}"
        )
    model.resize_token_embeddings(rows.pop(), mean_resizing=False)
    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    if len(into.weight) <= before or out is None:
        return []
    apart = bool(config.modules_to_save) and not getattr(config, "ensure_weight_tying", False)
    tied = out.weight is into.weight and not apart
    if tied and any(tensor is not None for tensor in stored.values()):
        return []
    names = {"in": _name(model, into), "out": _name(model, out)}
    return [f"{names[part]}.weight" for part, tensor in stored.items() if tensor is None]


def _stored(model: Any, module: Any, tensors: Tensors) -> torch.Tensor | None:
    """The weight that an adapter stores for a whole module of its base, if it does."""
    name = None if module is None else _name(model, module)
    for key in (f"{_PREFIX}{name}.weight", f"{_PREFIX}{name}.base_layer.weight"):
        if key in tensors:
            return tensors[key]
    return None


def _name(model: Any, module: Any) -> str:
    return next(name for name, one in model.named_modules() if one is module)


def _untie(model: Any) -> None:
    """Give the head weights of its own where an adapter changes it, or the embeddings, alone.

    Merged into shared weights, the adapter of one would change the other too.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    inner = [end.get_base_layer() if isinstance(end, BaseTunerLayer) else end for end in ends]
    weights = [getattr(end, "weight", None) for end in inner]
    if weights[0] is weights[1] is not None and inner != ends:
        inner[1].weight = torch.nn.Parameter(weights[1].detach().clone(), requires_grad=False)


def _changed(wrapped: Any, quantised: bool) -> tuple[list[Any], list[Any]]:
    """Parameters of a base that merging changes, and those that others stand for."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    kept = _quantised_kinds() if quantised else ()
    changed: list[Any] = []
    replaced: list[Any] = []
    for module in wrapped.modules():
        if isinstance(module, BaseTunerLayer):
            base = module.get_base_layer()
            changed += [] if isinstance(base, kept) else base.parameters()
        elif hasattr(module, "original_module"):
            replaced += module.original_module.parameters()
    tuned = {id(parameter) for parameter in changed}
    return changed, [parameter for parameter in replaced if id(parameter) not in tuned]


def _quantised_kinds() -> tuple[type, ...]:
    import bitsandbytes as bnb

    return bnb.nn.Linear8bitLt, bnb.nn.Linear4bit


def _merged_but_for_quantised(model: Any) -> Any:
    """The model without PEFT's layers but for those over layers that bitsandbytes quantised."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    kinds = _quantised_kinds()
    replaced: tuple[str, ...] = ()
    for name, module in list(model.named_modules()):
        if name.startswith(replaced) and replaced:
            continue
        if hasattr(module, "unload_and_optionally_merge_module"):
            plain = module.unload_and_optionally_merge_module(
                merge=True, safe_merge=False, adapter_names=None
            )
        elif isinstance(module, BaseTunerLayer):
            if isinstance(module.get_base_layer(), kinds):
                _keep_scales(module.get_base_layer())
                replaced += (f"{name}.",)
                continue
            module.merge()
            plain = module.get_base_layer()
        else:
            continue
        replaced += (f"{name}.",)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, plain)
    return model


def _keep_scales(layer: Any) -> None:
    """Let a layer in int8 keep its scales where PEFT's DoRA, on CPU, gives it a weight without."""
    if not hasattr(layer, "init_8bit_state"):
        return
    if layer.weight.CB is not None:
        layer.init_8bit_state()

    def forget() -> None:
        layer.weight.CB = layer.weight.SCB = None

    layer.init_8bit_state = forget


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """The parameters in another dtype, but for those that the model keeps in float32 itself."""
    kept = list(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    if dtype == torch.float16:
        kept += getattr(model, "_keep_in_fp32_modules", None) or ()
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not any(part in name for part in kept):
            parameter.data = parameter.data.to(dtype)
    return model


def _told(error: Exception) -> str:
    """What PEFT's error comes down to; of sizes that differ only the first."""
    found = _OTHER_SIZE.search(" ".join(str(error).split()))
    if found is None:
        return f"is refused by PEFT ({reason(error)})"
    name = found[1].replace(".default", "")
    return f"holds {name} of shape {found[2]}, and the model wants {found[3]}"


def _does_not_fit(path: str, why: str) -> ScoringError:
    return ScoringError(
        f"The adapter in {path!r} does not fit its base model: it {why}; give the base that it was "
        "trained on with --base."
    )
