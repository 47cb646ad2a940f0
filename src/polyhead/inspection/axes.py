"""Axes: where a number stands on the way from one end to the other, and which are written there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_STEPS = 8  # of a logarithmic axis
DECADES = 12  # of a logarithmic axis at most: what is smaller lies at its foot


@dataclass(frozen=True)
class Axis:
    """Numbers to write, the first at one end and the last at the other, and the scale between."""

    ticks: Sequence[float]
    scale: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """How far a number stands from the first end, 0 to 1."""
        low, high = self.scale(self.ticks[0]), self.scale(self.ticks[-1])
        held = min(max(value, self.ticks[0]), self.ticks[-1])
        return (self.scale(held) - low) / (high - low)


def linear(values: Sequence[float], *, fallback: float) -> Axis:
    """From 0 to a round number; `fallback` stands for the largest where there is none."""
    return Axis(round_steps(max(max(values, default=0.0), 0.0) or fallback))


def logarithmic(values: Sequence[float], *, fallback: float) -> Axis:
    """From a power of two (or ten, where they differ much) below all values to one above."""
    high = max(max(values, default=0.0), 0.0) or fallback
    low = min((value for value in values if value >= high * 10.0**-DECADES), default=high)
    base = 2.0 if high / low < 1e4 else 10.0
    first = math.floor(math.log(low, base) + 1e-9)
    last = max(math.ceil(math.log(high, base) - 1e-9), first + 1)
    every = -(-(last - first) // MOST_STEPS)
    first -= (first - last) % every
    return Axis([base**power for power in range(first, last + 1, every)], math.log)


def round_steps(largest: float) -> list[float]:
    """From 0 in steps of 1, 2 or 5 times a power of ten, to the first that reaches `largest`."""
    power = 10.0 ** math.floor(math.log10(largest / 5))
    step = next(power * size for size in (1, 2, 5, 10) if power * size * 7 >= largest)
    return [round(step * count, 12) for count in range(math.ceil(largest / step - 1e-9) + 1)]
