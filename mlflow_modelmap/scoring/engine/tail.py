"""Scoring: a model cut in two: its body, and the tail (norms, projections, head) it ends with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import nn

from mlflow_modelmap.errors import InputError


class _Reached(Exception):
    """Raised inside a forward pass that need go no further."""


def decoder_layers(model: Any) -> tuple[nn.Module, str, nn.ModuleList]:
    """Where a model keeps its decoder layers: the owner, the attribute's name, the list.

    Raises
    ------
    InputError
        If there is no list with one module for each of the layers that the configuration counts.
    """
    config = model.config.get_text_config(decoder=True)
    count = getattr(config, "num_hidden_layers", None) or getattr(config, "n_layer", None)
    found = []
    for owner in model.modules():
        for name, child in owner.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count and count:
                found.append((owner, name, child))
    # A list of one-off modules (norms, projections) may have the same length; layers are largest.
    if found:
        return max(found, key=lambda place: sum(p.numel() for p in place[2].parameters()))
    raise InputError(
        f"This {type(model).__name__} has no list of decoder layers, so that its layers cannot be "
        "scored one by one; score it without layers."
    )


class _StandIn(nn.Module):
    """Stands in for a decoder layer and returns what a real one once did."""

    def __init__(self, layer: nn.Module, output: torch.Tensor, as_tuple: bool) -> None:
        super().__init__()
        # Models read a few attributes off their layers (attention kind, ...): pass them on.
        object.__setattr__(self, "_stood_for", layer)
        self._output = (output, None, None) if as_tuple else output

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(object.__getattribute__(self, "_stood_for"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._output


class Tail:
    """Runs a model up to its head, and its tail alone.

    `head` is the module whose input is what a tiled head needs; it may be None where the model
    shows none.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.head = model.get_output_embeddings()
        self._place: tuple[nn.Module, str, nn.ModuleList] | None = None
        self._gives_tuples = False

    @property
    def layer_count(self) -> int:
        """How many decoder layers the model has."""
        return len(self._layers()[2])

    @property
    def vocabulary(self) -> int:
        """How many tokens the model's embeddings hold."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The model's own logits, shape (B, T, V)."""
        return self._call(ids).logits

    def fill(self, ids: torch.Tensor, cache: Any) -> None:
        """Let a cache of transformers take in tokens (B, T), without the head if there is one."""
        if self.head is None:
            self._call(ids, cache)
            return
        with self._stopped_at_head():
            self._call(ids, cache)

    def head_input(self, ids: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """What goes into the head, shape (B, T, H); the head itself is not run.

        With a cache of transformers the tokens follow those in it.
        """
        with self._stopped_at_head() as got:
            self._call(ids, cache)
        return got[0]

    def layer_outputs(
        self, ids: torch.Tensor, rows: torch.Tensor, last_only: bool = False, cache: Any = None
    ) -> list[torch.Tensor]:
        """Raw outputs at flat positions `rows`: the first layer's input, then each layer's output.

        Each has the shape (R, H). The tail is not run. With `last_only` it is the last layer's
        output alone.
        """
        _, _, layers = self._layers()
        kept: list[torch.Tensor] = []

        def keep(value: Any) -> None:
            state = value[0] if isinstance(value, tuple) else value
            kept.append(state.reshape(-1, state.shape[-1]).index_select(0, rows.to(state.device)))

        def first(module: nn.Module, args: Any, kwargs: Any) -> None:
            keep(args[0] if args else kwargs["hidden_states"])

        def after(module: nn.Module, args: Any, output: Any) -> None:
            keep(output)
            if module is layers[-1]:
                raise _Reached

        if last_only:
            hooks = [layers[-1].register_forward_hook(after)]
        else:
            hooks = [layers[0].register_forward_pre_hook(first, with_kwargs=True)]
            hooks += [layer.register_forward_hook(after) for layer in layers]
        try:
            self._call(ids, cache)
        except _Reached:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        return kept

    def replay_head_input(self, rows: torch.Tensor) -> torch.Tensor:
        """What the tail makes of raw layer outputs before the head: (R, H) to (R, H')."""
        with self._stopped_at_head() as got:
            self._replay(rows)
        return got[0].reshape(len(rows), -1)

    def replay(self, rows: torch.Tensor) -> torch.Tensor:
        """The model's own logits for raw layer outputs: (R, H) to (R, V)."""
        return self._replay(rows).logits.reshape(len(rows), -1)

    def _replay(self, rows: torch.Tensor) -> Any:
        """Let the model run with stand-ins for its layers; each row is a text of one token."""
        owner, name, layers = self._layers()
        output = rows.unsqueeze(1)
        stand_ins = [_StandIn(layer, output, self._gives_tuples) for layer in layers]
        ids = torch.zeros(len(rows), 1, dtype=torch.long, device=self.device)
        setattr(owner, name, nn.ModuleList(stand_ins))
        try:
            return self._call(ids)
        finally:
            setattr(owner, name, layers)

    @property
    def device(self) -> torch.device:
        """Where token ids must lie."""
        embeddings = self.model.get_input_embeddings()
        if embeddings.weight.is_meta:  # Offloaded by accelerate, which fetches it when needed.
            return torch.device(embeddings._hf_hook.execution_device)
        return embeddings.weight.device

    def _call(self, ids: torch.Tensor, cache: Any = None) -> Any:
        if cache is None:
            return self.model(input_ids=ids, use_cache=False, return_dict=True)
        given = {self._name_of_cache: cache}
        return self.model(input_ids=ids, **given, use_cache=True, return_dict=True)

    @cached_property
    def _name_of_cache(self) -> str:
        """What the model's class calls its cache: transformers 5.24 gave it another name."""
        base = getattr(self.model, "get_base_model", lambda: self.model)()  # an adapter's
        takes = inspect.signature(base.forward).parameters
        return "cache" if "cache" in takes else "past_key_values"

    def _layers(self) -> tuple[nn.Module, str, nn.ModuleList]:
        if self._place is None:
            self._place = decoder_layers(self.model)
            self._gives_tuples = self._layer_gives_tuple(self._place[2])
        return self._place

    def _layer_gives_tuple(self, layers: nn.ModuleList) -> bool:
        got: list[bool] = []

        def look(module: nn.Module, args: Any, output: Any) -> None:
            got.append(isinstance(output, tuple))
            raise _Reached

        hook = layers[0].register_forward_hook(look)
        try:
            self._call(torch.zeros(1, 1, dtype=torch.long, device=self.device))
        except _Reached:
            pass
        finally:
            hook.remove()
        return bool(got and got[0])

    @contextmanager
    def _stopped_at_head(self) -> Iterator[list[torch.Tensor]]:
        got: list[torch.Tensor] = []

        def stop(module: nn.Module, args: Any) -> None:
            got.append(args[0])
            raise _Reached

        hook = self.head.register_forward_pre_hook(stop)
        try:
            yield got
        except _Reached:
            pass
        finally:
            hook.remove()
