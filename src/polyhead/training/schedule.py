"""The learning rate's course, as a factor of its peak."""

from __future__ import annotations

import math

from polyhead.config import ScheduleConfig


def factor(schedule: ScheduleConfig, step: int, progress: float) -> float:
    """The learning rate at `step` (from 1) over its peak; progress in [0, 1] is how far the run is.

    noam: linear warm-up, then the inverse square root of the step (Vaswani et al. 2017, section
    5.3, with the peak given instead of following from d_model). cosine, linear: warm-up, then down
    to 0 at the run's end. constant: warm-up, then the peak.
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        return step / warmup
    if schedule.kind == "noam":
        return math.sqrt(max(warmup, 1) / step)
    if schedule.kind == "constant":
        return 1.0
    start = warmup / step * progress if step else 0.0  # the progress at which warm-up ended
    left = (1 - progress) / (1 - start) if start < 1 else 0.0
    left = min(max(left, 0.0), 1.0)
    return left if schedule.kind == "linear" else 0.5 * (1 - math.cos(math.pi * left))
