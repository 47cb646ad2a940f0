"""How long a layer takes forward and backward, and how much memory it needs for both."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from polyhead.complexity.kinds import KINDS, Layer, Sizes

ROUNDS, SECONDS = 5, 0.02  # each layer has so many turns, of one step or as many as take so long


Times = tuple[float, float]
"""Seconds forward and backward."""
Step = Callable[[], Times]


@dataclass(frozen=True)
class Cost:
    """Of one training step without the optimiser: milliseconds, and bytes beyond what stays."""

    forward_ms: float
    backward_ms: float
    peak_bytes: int


def costs(lengths: Sequence[int], sizes: Sizes) -> dict[tuple[int, str], Cost]:
    """What one sequence costs in fp32 on the processor, by its length and the kind of layer.

    All take turns, so that a machine that is busy for a while is unfair to none; the best time of
    each counts. With one thread it is the processor's time, which neighbours do not lengthen.
    """
    peaks: dict[tuple[int, str], int] = {}
    steps: dict[tuple[int, str], Step] = {}
    for length in lengths:
        generator = torch.Generator().manual_seed(length)
        x = torch.randn(1, length, sizes.d_model, generator=generator).requires_grad_()
        direction = torch.randn(x.shape, generator=generator)
        for kind in KINDS:
            layer = kind.build(sizes, length)
            steps[length, kind.name] = partial(_step, layer, x, direction)
            peaks[length, kind.name] = _peak(layer, x, direction)
    best = dict.fromkeys(steps, (math.inf, math.inf))
    for _ in range(ROUNDS):
        for place, step in steps.items():
            best[place] = _best(step, best[place])
    return {
        place: Cost(forward * 1e3, backward * 1e3, peaks[place])
        for place, (forward, backward) in best.items()
    }


def _now() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def _best(step: Step, so_far: Times) -> Times:
    """One turn."""
    end = _now() + SECONDS
    while True:
        forward, backward = step()
        so_far = min(forward, so_far[0]), min(backward, so_far[1])
        if _now() >= end:
            return so_far


def _step(layer: Layer, x: Tensor, direction: Tensor) -> Times:
    """Seconds forward and backward."""
    layer.zero_grad(set_to_none=True)
    x.grad = None
    start = _now()
    y = layer(x)
    middle = _now()
    y.backward(direction)
    return middle - start, _now() - middle


def _peak(layer: Layer, x: Tensor, direction: Tensor) -> int:
    """The most bytes that were allocated at a time, gradients included, input and weights not.

    Counted from torch's own record of allocations: the process's resident memory says little of
    small layers.
    """
    _step(layer, x, direction)  # what is made once and kept is not the layer's to pay
    layer.zero_grad(set_to_none=True)
    x.grad = None
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler greets on stderr
    with torch.autograd.profiler.profile(profile_memory=True) as profiler:
        layer(x).backward(direction)
    record = profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in record if event.name() == "[memory]"]
    held = most = 0
    for _, change in sorted(changes):
        held += change
        most = max(most, held)
    return most
