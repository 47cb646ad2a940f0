"""Memory foretold before the first step, then measured on the longest batch."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from polyhead import machine
from polyhead.errors import TrainingError
from polyhead.tasks.shared.protocol import Batch

GIB = 2**30


@dataclass(frozen=True)
class Forecast:
    """Bytes a training is expected to need beyond what the process holds already."""

    weights: int  # parameters, gradients, the optimiser's moments
    activations: int  # of the largest batch

    @property
    def total(self) -> int:
        return self.weights + self.activations


def forecast(model: nn.Module, tokens: int, precision: str) -> Forecast:
    """Expected need of training `model` on batches of `tokens` (source and target, padded).

    Activations are counted per token from the widths of the model's linear layers: each keeps its
    input for the backward pass, and its output lives while it is made.
    """
    element = 4 if precision == "fp32" else 2
    parameters = sum(p.numel() for p in model.parameters())
    weights = parameters * (16 if precision == "fp32" else 4 + 12)
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    per_token = sum(m.in_features + 2 * m.out_features for m in linears) * element
    return Forecast(weights, tokens * per_token)


def check(expected: Forecast, batch_tokens: int) -> None:
    """Raise TrainingError, with the change that would fit, where memory will not suffice."""
    limit, used = machine.memory_limit(), machine.memory_used()
    free = limit - used
    if expected.total <= free:
        return
    fits = int(batch_tokens * max(0, free - expected.weights) / max(1, expected.activations) * 0.9)
    advice = (
        f"training.batch_tokens={fits} should fit (training.accumulate="
        f"{-(-batch_tokens // max(fits, 1))} keeps the effective batch)"
        if fits >= 64
        else "choose a smaller model: its weights and optimiser alone do not fit"
    )
    raise TrainingError(
        f"training would need about {expected.total / GIB:.2f} GiB "
        f"(weights and optimiser {expected.weights / GIB:.2f}, the largest batch "
        f"{expected.activations / GIB:.2f}), but {free / GIB:.2f} GiB of {limit / GIB:.2f} are "
        f"free: {advice}."
    )


def probe(batch: Batch, run: Callable[[Batch], None], forget: Callable[[], None]) -> int:
    """Run the largest batch forward and backward, forget it, and put random state back.

    Returns the peak of resident bytes. Raises TrainingError where memory runs out.
    """
    state = torch.get_rng_state()
    try:
        run(batch)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise TrainingError(
            f"out of memory on the largest batch: {batch.describe()}. Halve training.batch_tokens "
            "and double training.accumulate, or make the longest examples shorter."
        ) from None
    finally:
        forget()
        torch.set_rng_state(state)
        gc.collect()
    return machine.memory_peak()
