"""Whether torch.compile, for which a recipe may ask, works on this machine."""

from __future__ import annotations

import torch

from polyhead.errors import TrainingError


def check_compiler(device: str) -> None:
    """Compile the smallest program there is; raises TrainingError where that cannot be done."""
    try:
        torch.compile(torch.sin)(torch.ones(2, device=device))
    except Exception as error:  # of many classes: no compiler, none for this device, …
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TrainingError(
            f"training.compile: torch.compile does not work on this machine ({reason}). It needs a "
            "C++ compiler, and Triton on a GPU; install them, or leave training.compile out"
        ) from None
