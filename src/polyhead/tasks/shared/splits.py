"""The data that a run is judged on."""

from __future__ import annotations

from typing import Any

from polyhead.errors import DataError, UsageError


def sources_of(data: Any, split: str) -> list[Any]:
    """Where the valid or test split comes from; raises DataError where the recipe names nothing."""
    if split not in ("valid", "test"):
        raise UsageError(f"split {split!r} is not one of valid, test")
    sources: list[Any] = getattr(data, split)
    if not sources:
        raise DataError(f"the recipe names no {split} data (data.{split})")
    return sources
