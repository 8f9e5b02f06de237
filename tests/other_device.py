"""A device that is not the CPU, for machines that have no other: its tensors live apart, and are computed on the CPU.

What goes wrong on a GPU alone is mostly a tensor, or a random generator, that was left on the other side. Here torch's
rules are kept as on CUDA: tensors of two devices do not mix, save for scalars of the CPU and its index tensors; numpy
sees none of the device's memory; a generator serves its own device only. What is computed can be recorded and replayed
as a CUDA graph is: the same operations on the same memory, whatever Python would do by then.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

_aten = torch.ops.aten
_AUTOCAST = torch.library.Library("_", "IMPL")
_CROSSING = {_aten._to_copy.default, _aten.copy_.default, _aten._local_scalar_dense.default}
_RANDOM = ("rand", "normal_", "bernoulli", "multinomial", "uniform_", "dropout", "exponential_")
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}


@functools.cache
def other_device() -> torch.device:
    """The device; torch knows it from the first call on, for the rest of the process."""
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this version of torch has no devices made in Python")
    module = types.SimpleNamespace(
        is_initialized=lambda: True,
        is_available=lambda: True,
        current_device=lambda: 0,
        device_count=lambda: 1,
        manual_seed_all=lambda seed: None,
        get_amp_supported_dtype=lambda: [torch.bfloat16],
        _is_in_bad_fork=lambda: False,
    )
    backend_registration._setup_privateuseone_for_python_backend("other", module)
    # Inside `torch.autocast` everything is computed in float32.
    _AUTOCAST.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return torch.device("other:0")


class OtherTensor(torch.Tensor):
    """A tensor on the other device; `held` is the CPU tensor behind it."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OtherTensor:
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=other_device(),
        )
        tensor.held = held
        return tensor

    # What torch does for CUDA's tensors, but not for subclasses.
    def tolist(self) -> Any:
        return self.held.tolist()

    def new_tensor(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return OtherTensor(self.held.new_tensor(*args, **kwargs))

    def __repr__(self, **_: Any) -> str:
        return f"OtherTensor({self.held})"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class OtherGenerator(torch.Generator):
    """A generator that belongs to the device it was made for."""

    place: torch.device

    def __new__(cls, device: torch.device | str = "cpu") -> OtherGenerator:
        generator = super().__new__(cls)
        generator.place = torch.device(device)
        return generator

    @property
    def device(self) -> torch.device:
        return self.place


class _Factories(TorchDispatchMode):
    """Tensors that are made on the device, which no argument tells of."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Generators(TorchFunctionMode):
    """Random numbers; a call's generator is not told below this level."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if isinstance(generator, OtherGenerator):
            tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
            device = kwargs.get("device") or (tensors[0].device if tensors else "cpu")
            if torch.device(device).type != generator.device.type:
                raise RuntimeError(f"{func}: a generator of {generator.device} for {device}")
        return func(*args, **kwargs)


@contextmanager
def computing_on_the_other_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Inside, tensors and generators may be made on the device that this yields."""
    device = other_device()
    with monkeypatch.context() as patched, _Factories(), _Generators():
        patched.setattr(torch, "Generator", OtherGenerator)
        patched.setattr(torch, "tensor", _tensor)
        yield device


@dataclass
class _Tape:
    """What is recorded: operations with the CPU tensors that they read and those that they filled."""

    entries: list[tuple[Any, Any, Any, list[torch.Tensor]]] | None = None

    def refuse(self, func: Any, crossing: bool) -> None:
        """Raise RuntimeError where CUDA would not record, or would replay the same random numbers."""
        if self.entries is not None and (crossing or any(part in func._schema.name for part in _RANDOM)):
            raise RuntimeError(f"{func}: not while recording")

    def keep(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if self.entries is not None:
            filled = [value for value in tree_flatten(result)[0] if isinstance(value, torch.Tensor)]
            self.entries.append((func, args, kwargs, filled))


_TAPE = _Tape()


def recorded(launch: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Record what `launch` computes on the other device.

    Returns:
        A call that computes it, in the same memory each time; and the result of `launch`, no numbers before that call.

    Raises:
        RuntimeError: if it copies to or from the CPU, or draws random numbers.
    """
    entries: list[Any] = []
    _TAPE.entries = entries
    try:
        result = launch()
    finally:
        _TAPE.entries = None
    for _, args, kwargs, filled in entries:
        read = {_memory(value) for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)}
        for value in filled:
            if value.is_floating_point() and _memory(value) not in read:
                value.fill_(torch.nan)

    def replay() -> None:
        with torch.no_grad(), torch._C._DisableTorchDispatch():
            for func, args, kwargs, filled in entries:
                again = [value for value in tree_flatten(func(*args, **kwargs))[0] if isinstance(value, torch.Tensor)]
                for held, value in zip(filled, again, strict=True):
                    if held.data_ptr() != value.data_ptr():
                        held.copy_(value)

    return replay, result


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensor(*args: Any, device: Any = None, make: Any = torch.tensor, **kwargs: Any) -> torch.Tensor:
    made = make(*args, **kwargs)
    return made if device is None else made.to(device)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    here = any(isinstance(tensor, OtherTensor) for tensor in tensors)
    wanted = kwargs.get("device")
    made = here if wanted is None else torch.device(wanted).type == other_device().type
    if not here and not made:
        return func(*args, **kwargs)
    strange = any(not isinstance(t, OtherTensor) and t.dim() > 0 for t in tensors)
    _TAPE.refuse(func, strange or func is _aten._local_scalar_dense.default or (bool(tensors) and made != here))
    if func not in _CROSSING:
        bound = [value for value in args if isinstance(value, torch.Tensor)] if func in _INDEXING else tensors
        strangers = [t for t in bound if not isinstance(t, OtherTensor) and t.dim() > 0]
        if here and strangers:
            raise RuntimeError(f"{func}: tensors of two devices, of shapes {[tuple(t.shape) for t in bound]}")
    plain_args, plain_kwargs = tree_map_only(OtherTensor, lambda tensor: tensor.held, (args, kwargs))
    if wanted is not None:
        plain_kwargs["device"] = torch.device("cpu")
    result = func(*plain_args, **plain_kwargs)
    _TAPE.keep(func, plain_args, plain_kwargs, result)
    if func is _aten.copy_.default and not isinstance(args[0], OtherTensor):
        return args[0]
    if func is _aten._to_copy.default and not made:
        return result.clone() if any(result is tensor.held for tensor in tensors if here) else result
    result = tree_map_only(torch.Tensor, OtherTensor, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if here else result
