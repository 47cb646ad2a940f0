"""Taps: places where attention weights can be heard, computed only while somebody listens.

    with listen("decoder.*.cross") as heard:
        model(...)
    heard["decoder.0.cross"]   # a list of [B,H,Q,K], one per call

Every attention module carries its name; nothing is computed or kept for names nobody asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase

import torch
from torch import Tensor


class _Listener:
    def __init__(self, pattern: str):
        self.pattern = pattern
        self.heard: dict[str, list[Tensor]] = defaultdict(list)


_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listen(pattern: str = "*") -> Iterator[dict[str, list[Tensor]]]:
    """Hear the weights of every attention whose name matches the shell pattern."""
    listener = _Listener(pattern)
    token = _listener.set(listener)
    try:
        yield listener.heard
    finally:
        _listener.reset(token)


def listening(name: str) -> bool:
    """Whether somebody listens to this name now."""
    if torch.compiler.is_compiling():  # which is training: nobody does, and it cannot be asked
        return False
    listener = _listener.get()
    return listener is not None and fnmatchcase(name, listener.pattern)


def anyone() -> bool:
    """Whether somebody listens to any name now."""
    return _listener.get() is not None


def hear(name: str, weights: Tensor) -> None:
    """Give the weights [B,H,Q,K] of one call to whoever listens."""
    listener = _listener.get()
    if listener is not None:
        listener.heard[name].append(weights.detach().cpu())
