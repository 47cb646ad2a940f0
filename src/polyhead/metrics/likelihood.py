"""What is said of a likelihood."""

from __future__ import annotations

import math


def perplexity(nll: float) -> float:
    """exp(nats per token); of a model that knows nothing at all a large number, not infinity."""
    return math.exp(min(nll, 700.0))
