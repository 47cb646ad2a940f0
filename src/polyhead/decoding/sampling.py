"""Drawing the next token at random, from all of the distribution or its most probable part."""

from __future__ import annotations

import torch
from torch import Tensor

from polyhead.errors import UsageError


class Sampler:
    """Draws tokens [R] from log-probabilities [R,V], the same for the same seed.

    temperature divides the logits; top_k keeps the k most probable tokens; top_p keeps the fewest
    whose probabilities add up to p (nucleus sampling, Holtzman et al. 2020).
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 1,
        device: str = "cpu",
    ):
        if not temperature > 0:
            raise UsageError(f"temperature {temperature} is not above 0; use greedy search instead")
        if top_k is not None and top_k < 1:
            raise UsageError(f"top-k {top_k} is not at least 1")
        if top_p is not None and not 0 < top_p <= 1:
            raise UsageError(f"top-p {top_p} is not between 0 and 1")
        if not 0 <= seed < 2**63:
            raise UsageError(f"seed {seed} is not between 0 and 2^63")
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, log_p: Tensor) -> Tensor:
        logits = log_p / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        if self.top_p is not None and self.top_p < 1:
            ordered, order = logits.sort(dim=-1, descending=True)
            p = torch.softmax(ordered, dim=-1)
            beyond = p.cumsum(dim=-1) - p >= self.top_p  # the most probable one always stays
            logits = logits.masked_fill(beyond.scatter(1, order, beyond), float("-inf"))
        return torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=self.generator)[:, 0]
