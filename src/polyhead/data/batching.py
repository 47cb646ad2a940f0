"""Which examples make up which batch: a pure function of the seed and the epoch.

Nothing here remembers anything, so resuming at step n is looking up batch n, and any number of
processes see the same plan.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Plan = list[NDArray[np.int64]]
T = TypeVar("T")


def on_device(batch: T, device: str | torch.device) -> T:
    """A batch (a dataclass) with its tensors on a device."""
    here = {field.name: getattr(batch, field.name) for field in fields(batch)}  # type: ignore[arg-type]
    moved = {name: v.to(device) for name, v in here.items() if isinstance(v, torch.Tensor)}
    return replace(batch, **moved)  # type: ignore[type-var]


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model computes; packed ones, which have no parameters, do so on the CPU."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def plan_epoch(
    source_lengths: NDArray[np.int64],
    target_lengths: NDArray[np.int64],
    *,
    batch_tokens: int,
    seed: int,
    epoch: int,
    weights: NDArray[np.float64] | None = None,
) -> Plan:
    """Batches of similar length in random order, each an array of example indices.

    A batch holds at most `batch_tokens` target tokens with padding and twice as many source tokens.
    A weight w draws an example floor(w) times and once more with probability w - floor(w).
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(source_lengths))
    if weights is not None and not np.all(weights == 1):
        drawn = weights[order]
        copies = np.floor(drawn) + (random.random(len(order)) < drawn - np.floor(drawn))
        drawn_order = np.repeat(order, copies.astype(np.int64))
        order = drawn_order if len(drawn_order) else order[:1]  # an epoch is never empty
    # equal lengths keep their random order, so each epoch batches them differently
    order = order[np.lexsort((source_lengths[order], target_lengths[order]))]
    batches = pack(order, source_lengths, target_lengths, batch_tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def pack(
    order: NDArray[np.int64],
    source_lengths: NDArray[np.int64],
    target_lengths: NDArray[np.int64],
    batch_tokens: int,
) -> Plan:
    """Cut `order` into runs whose padded sizes stay within the budget."""
    batches: Plan = []
    start = widest_source = widest_target = 0
    for end, (s, t) in enumerate(
        zip(source_lengths[order].tolist(), target_lengths[order].tolist(), strict=True)
    ):
        widest_source, widest_target = max(widest_source, s), max(widest_target, t)
        rows = end - start + 1
        if rows > 1 and (
            rows * widest_target > batch_tokens or rows * widest_source > 2 * batch_tokens
        ):
            batches.append(order[start:end])
            start, widest_source, widest_target = end, s, t
    if start < len(order):
        batches.append(order[start:])
    return batches


def by_length(lengths: NDArray[np.int64], batch_tokens: int) -> Plan:
    """All examples from long to short, for evaluation: the largest batch comes first."""
    order = np.argsort(-lengths, kind="stable")
    return pack(order, lengths, lengths, batch_tokens)
