"""Polyhead: one attention, many models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from polyhead.errors import PolyheadError

if TYPE_CHECKING:
    from polyhead.api import AttentionMaps, Translator, load, train

__version__ = "0.1.0"
__all__ = ["AttentionMaps", "PolyheadError", "Translator", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:  # torch is loaded only when something that needs it is asked for
    if name in __all__:
        return getattr(import_module("polyhead.api"), name)
    raise AttributeError(f"module 'polyhead' has no attribute {name!r}")
