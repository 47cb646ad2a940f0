"""A GPU that is pretended: tensors on it are the CPU's, but must not be mixed with the CPU's.

Machines without a GPU find with it what would fail on one: a tensor that was left behind, `numpy()`
of one that is elsewhere. torch's functions are watched as Python calls them, so backward passes and
compiled code are not; results are right, speed is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from polyhead import machine

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
HERE = {"numpy", "__array__"}  # what only the CPU's tensors can
SETTERS = {"__set__"}
# Indices may lie on the CPU, and so may what is copied from.
LENIENT = {"__getitem__", "__setitem__", "copy_", "_has_compatible_shallow_copy_type"}


def is_there(value: object) -> bool:
    return isinstance(value, Tensor) and getattr(value, "_pretended", False)


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors(one)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def is_gpu(value: Any) -> bool:
    return (isinstance(value, torch.device) and value.type == "cuda") or (
        isinstance(value, str) and value.startswith("cuda")
    )


class PretendGPU(TorchFunctionMode):
    """Marks what is made or moved there, and all that comes of it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        with torch._C.DisableTorchFunction():
            return self._called(func, name, owner, args, kwargs)

    def _called(self, func: Any, name: str, owner: str, args: Any, kwargs: dict[str, Any]) -> Any:
        own = args[0] if args else None
        if name == "__get__":
            return self._read(func, owner, own, args, kwargs)
        if name in SETTERS:
            func(*args, **kwargs)
            self._mark(own, any(map(is_there, tensors(args[1:]))))
            return None
        if name in HERE and is_there(own):
            raise TypeError(f"can't convert a pretended cuda tensor by {name}; use .cpu() first")
        if name == "cpu":
            return own.clone() if is_there(own) else own
        if name == "to" and (any(map(is_gpu, [*args[1:], *kwargs.values()]))):
            here = [CPU if is_gpu(a) else a for a in args[1:]]
            moved = func(own, *here, **{k: CPU if is_gpu(v) else v for k, v in kwargs.items()})
            return self._mark(moved.clone() if moved is own else moved, True)
        if name == "to" and any(str(a) == "cpu" for a in [*args[1:], *kwargs.values()]):
            return func(own.clone(), *args[1:], **kwargs)
        there = self._check(name, args, kwargs)
        if is_gpu(kwargs.get("device")):
            kwargs["device"], there = torch.device("cpu"), True
        return self._mark(func(*args, **kwargs), there)

    def _read(self, func: Any, owner: str, own: Any, args: Any, kwargs: Any) -> Any:
        """An attribute of a tensor."""
        if is_there(own):
            if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
                return GPU
            if func == torch.Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
                return True
            if func == torch.Tensor.is_cpu.__get__:  # type: ignore[attr-defined]
                return False
        return self._mark(func(*args, **kwargs), is_there(own))

    def _check(self, name: str, args: Any, kwargs: Any) -> bool:
        """Whether the call is of tensors there; raises where they are mixed with others."""
        found = list(tensors([*args, kwargs]))
        there = [t for t in found if is_there(t)]
        if there and name not in LENIENT:
            left = [t for t in found if not is_there(t) and t.dim() > 0]
            if left:
                shapes = ", ".join(str(tuple(t.shape)) for t in left)
                raise RuntimeError(
                    f"{name}: expected all tensors on one device, but those of shapes {shapes} are "
                    "on the CPU"
                )
        return bool(there)

    def _mark(self, value: Any, there: bool) -> Any:
        if there:
            for tensor in tensors(value):
                tensor._pretended = True  # type: ignore[attr-defined]
        return value


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within, this machine has a GPU, and polyhead chooses it."""
    choose = machine.choose

    def chosen(precision: str = "auto", threads: int | None = None) -> machine.Choices:
        precision = "fp32" if precision == "auto" else precision
        return replace(choose(precision, threads), device="cuda")

    monkeypatch.setattr(machine, "choose", chosen)
    answers = {
        "get_rng_state": torch.get_rng_state,
        "set_rng_state": lambda state: None,
        "reset_peak_memory_stats": lambda: None,
        "memory_allocated": lambda: 0,
        "max_memory_allocated": lambda: 0,
        "memory_reserved": lambda: 0,
        "mem_get_info": lambda: (2**33, 2**33),
        "get_device_name": lambda: "a pretended GPU",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(torch.autograd, "backward", _unwatched(torch.autograd.backward))
    with PretendGPU():
        yield


def _unwatched(function: Any) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)

    return called
