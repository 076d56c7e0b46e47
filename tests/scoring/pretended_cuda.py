"""CUDA devices that are only said to be there: tensors that name one, computed on CPU.

Numbers are real, and what would be wrong on a GPU is an error: operands on two devices. What would
make the host wait is counted. Speed, rounding of half products and kernels are not shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

WAITS: Counter[str] = Counter()
"""What the host waited for, by the operation."""
_T = torch.Tensor
_READ = {_T.__float__, _T.__int__, _T.__bool__, _T.__index__, _T.item, _T.tolist}
# Python's own binding of these asks for the device's guard, which a CPU build lacks.
_DIRECT = {_T.__getitem__, _T.__setitem__, _T.contiguous, _T.__invert__, *_READ}
_COPIES = ("aten::_to_copy", "aten::copy_")
_COUNTED = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")


class Pretended(torch.Tensor):
    """A tensor on CPU that says it lies elsewhere."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, device: torch.device) -> Pretended:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device,
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.held!r} on {self.device}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _T.copy_:
            if args[0].device.type == "cpu":
                WAITS["copy to the host"] += 1
            _bare(args[0]).copy_(_bare(args[1]))
            return args[0]
        if func not in _DIRECT:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        if func in _READ:
            WAITS[func.__name__] += 1
        if any(t.dtype == torch.bool for t in tree_flatten(args[1:2])[0] if isinstance(t, _T)):
            WAITS["boolean indexing"] += 1
        _same_device(func, [t for t in tree_flatten(args)[0] if isinstance(t, _T)])
        out = func(*tree_map(_bare, args))
        return _lying(out, args[0].device) if isinstance(out, torch.Tensor) else out


def _bare(value: Any) -> Any:
    return value.held if isinstance(value, Pretended) else value


def _lying(value: Any, device: torch.device) -> Any:
    if not isinstance(value, torch.Tensor) or device.type == "cpu":
        return value
    return Pretended(value, torch.device(device.type, device.index or 0))


def _same_device(func: Any, tensors: list[torch.Tensor]) -> None:
    devices = {str(t.device) for t in tensors if t.dim() or t.device.type != "cpu"}
    assert len(devices) <= 1, f"{func} of tensors on {sorted(devices)}"


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func._schema.name
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    if name not in _COPIES:
        _same_device(name, tensors)
    if name in _COUNTED:
        WAITS[name] += 1
    wanted = kwargs.get("device")
    devices = [t.device for t in tensors if t.device.type != "cpu"]
    device = (
        torch.device(wanted) if wanted is not None else next(iter(devices), torch.device("cpu"))
    )
    if name == "aten::copy_":
        device = args[0].device
    if name in _COPIES and device.type == "cpu" and devices:
        WAITS["copy to the host"] += 1
    if name == "aten::mm" and "out_dtype" in str(func._schema):  # no such product on CPU
        raise NotImplementedError(name)
    plain = {**tree_map(_bare, kwargs)}
    if wanted is not None:
        plain["device"] = torch.device("cpu")
    out = func(*tree_map(_bare, args), **plain)
    given = {id(_bare(t)): t for t in tensors}  # in place, an argument is what comes back
    return tree_map(
        lambda t: given.get(id(t), _lying(t, device)) if isinstance(t, torch.Tensor) else t, out
    )


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def pretended_cuda() -> Iterator[Counter[str]]:
    """Inside, tensors can be put on ``cuda:0``, ``cuda:1``, ...; gives what the host waits for."""
    WAITS.clear()

    def without_gradients(mode: bool = True) -> Any:  # tensors of a subclass know no other way
        return torch.no_grad() if mode else nullcontext()

    with (
        mock.patch.object(torch, "inference_mode", without_gradients),
        mock.patch.object(torch.cuda, "_lazy_init", return_value=None),
        mock.patch.object(torch.cuda, "get_device_name", return_value="pretended"),
        sdpa_kernel(SDPBackend.MATH),  # to choose among others, older builds for CUDA ask a driver
        _Factories(),
    ):
        yield WAITS


def placed(model: Any, place: Callable[[str], str]) -> Any:
    """The model with each module's weights on the device that `place` says of its name."""
    made: dict[int, torch.Tensor] = {}
    for name, module in model.named_modules():
        for kept in (module._parameters, module._buffers):
            for key, tensor in kept.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    lying = Pretended(tensor.detach(), torch.device(place(name)))
                    is_parameter = isinstance(tensor, torch.nn.Parameter)
                    made[id(tensor)] = (
                        torch.nn.Parameter(lying, requires_grad=False) if is_parameter else lying
                    )
                kept[key] = made[id(tensor)]
    return model


def lies_on(module: torch.nn.Module, device: str, back: str | None = None) -> None:
    """Let a module take operands to its device and give its result `back`, as accelerate does."""
    inner = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        out = inner(*_moved(args, device), **_moved(kwargs, device))
        if back is not None:
            out.logits = out.logits.to(back)
        return out

    module.forward = forward  # type: ignore[method-assign]


def _moved(values: Any, device: str) -> Any:
    return tree_map(lambda v: v.to(device) if isinstance(v, torch.Tensor) else v, values)
