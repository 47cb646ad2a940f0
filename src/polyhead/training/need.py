"""The memory that a training step needs: measured on parts of the largest batch, before step 1.

What a step takes is a line over the slots of its batch (source and target tokens with padding):
a fixed part, the gradients, and one in proportion, the activations. Two small batches show it;
so a batch that is too large is known without being tried.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from polyhead import memory
from polyhead.errors import OutOfMemoryError
from polyhead.memory import shown
from polyhead.training.loop import Trainer, too_large

Rows = NDArray[np.int64]
SPARE = 0.1  # of what is free stays free: a heap has gaps
PARTS = (0.25, 0.05, 0.01)  # of the largest batch's rows: the first that can be tried is
MOST_TOKENS, LEAST_TOKENS, LEAST_STEPS, ROUND = 25_000, 256, 20, 64  # of batch_tokens: auto


@dataclass(frozen=True)
class Need:
    """Bytes that steps take beyond what the process holds before the first one."""

    largest: str  # of all batches, described
    rows: int  # in it
    slots: int
    batch_tokens: int  # with which it came about
    fixed: float
    per_slot: float
    moments: int  # of the optimiser, allocated in the first step

    def of(self, slots: int) -> int:
        """Bytes of a step on a batch of so many slots."""
        return round(self.fixed + self.moments + self.per_slot * slots)

    def batch_tokens_within(self, room: float) -> int:
        """The largest training.batch_tokens whose steps take no more; 0 if there is none."""
        slots = (room * (1 - SPARE) - self.fixed - self.moments) / self.per_slot
        if slots * self.rows < self.slots:  # not even one row
            return 0
        return int(slots * self.batch_tokens / self.slots)


def largest_batch(trainer: Trainer) -> Rows:
    """The batch of the epoch with the most slots."""
    return max(trainer.plan, key=trainer.train_corpus.slots)


def measure(trainer: Trainer) -> Need:
    """Measure what steps need, on parts of the largest batch; nothing is learned from them."""
    corpus, rows = trainer.train_corpus, largest_batch(trainer)
    try_batch(trainer, rows[:1])  # what is loaded or made once, at the first use, is not counted
    (few, less), (many, more) = _two_points(trainer, rows)
    per_slot = max((more - less) / (many - few) if many > few else less / few, 1.0)
    largest = corpus.batch(rows)
    tokens = trainer.config.tokens_together
    return Need(
        largest=largest.describe(),
        rows=len(rows),
        slots=corpus.slots(rows),
        batch_tokens=tokens if len(trainer.plan) > 1 else min(tokens, largest.tokens),
        fixed=max(0.0, more - per_slot * many),
        per_slot=per_slot,
        moments=0 if trainer.optimiser.state() else 8 * _learning(trainer),
    )


def _two_points(
    trainer: Trainer, rows: Rows, parts: tuple[float, ...] = PARTS
) -> list[tuple[int, int]]:
    """(slots, bytes) of two parts of a batch that can be tried, the smaller one first."""
    count = max(1, int(len(rows) * parts[0]))
    tried = [rows[: max(1, count // 2)], rows[:count]]
    try:
        return [(trainer.train_corpus.slots(some), try_batch(trainer, some)) for some in tried]
    except OutOfMemoryError:
        if count == 1 or len(parts) == 1:
            raise
    return _two_points(trainer, rows, parts[1:])


def _learning(trainer: Trainer) -> int:
    return sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)


def try_batch(trainer: Trainer, rows: Rows) -> int:
    """Bytes that forward and backward of a batch take; gradients and random numbers are undone.

    Freed memory stays with the process (`machine.tune_allocator`), so the growth is what was
    needed at the worst moment; where it goes back to the system the peak shows it.
    Raises OutOfMemoryError with the batch's shape.
    """
    random, learned = torch.get_rng_state(), [b.clone() for b in trainer.model.buffers()]
    gc.collect()
    memory.trim()
    on_gpu = trainer.choices.device == "cuda"
    if on_gpu:
        random_there = torch.cuda.get_rng_state()
        torch.cuda.reset_peak_memory_stats()
    before, highest = _used(on_gpu), peak(on_gpu)
    try:
        with memory.told(lambda: too_large(trainer.train_corpus.batch(rows), trainer.config)):
            trainer.accumulate([rows])
            after = max(_used(on_gpu), peak(on_gpu) if peak(on_gpu) > highest else 0)
    finally:
        trainer.optimiser.zero()
        torch.set_rng_state(random)
        if on_gpu:
            torch.cuda.set_rng_state(random_there)
        for buffer, value in zip(trainer.model.buffers(), learned, strict=True):
            buffer.copy_(value)
        gc.collect()
    return max(0, after - before)


def _used(on_gpu: bool) -> int:
    return torch.cuda.memory_allocated() if on_gpu else memory.used()


def peak(on_gpu: bool) -> int:
    """The most bytes this process has had, resident or on the GPU."""
    return torch.cuda.max_memory_allocated() if on_gpu else memory.peak()


def room_of(trainer: Trainer) -> tuple[int, str]:
    """(bytes that training may still take, whose limit that is)."""
    if trainer.choices.device != "cuda":
        memory.trim()
        room, whose = memory.free()
        return room // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), whose  # torchrun's: so many
    reserve = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return torch.cuda.mem_get_info()[0] + reserve, "the GPU"


def check(need: Need, trainer: Trainer) -> None:
    """Raise OutOfMemoryError, with the change that fits, where the largest batch will not."""
    room, whose = room_of(trainer)
    expected = need.of(need.slots)
    if expected <= room:
        return
    raise OutOfMemoryError(
        f"training would need about {shown(expected)} more (the largest batch: {need.largest}), "
        f"but {shown(room)} are free ({whose}). {advice(need, trainer, room)}"
    )


def choose_batch_tokens(trainer: Trainer) -> int:
    """What `training.batch_tokens: auto` means here and now.

    As many as fit, but no more than the 25,000 of Vaswani et al. 2017 (section 5.1), and few enough
    that an epoch has at least 20 steps. Raises OutOfMemoryError where nothing fits.
    """
    need = measure(trainer)
    room, whose = room_of(trainer)
    fits = need.batch_tokens_within(room)
    if fits == 0:
        raise OutOfMemoryError(
            f"training.batch_tokens: auto finds none that fits: {shown(room)} are free ({whose}). "
            + advice(need, trainer, room)
        )
    tokens = need.batch_tokens * len(trainer.plan)
    chosen = min(fits, MOST_TOKENS, max(LEAST_TOKENS, tokens // LEAST_STEPS))
    return chosen // ROUND * ROUND if chosen > ROUND else chosen


def advice(need: Need, trainer: Trainer, room: int) -> str:
    """The smallest change to the recipe that fits."""
    fits, config = need.batch_tokens_within(room), trainer.config
    if fits == 0:
        if need.fixed + need.moments < room * (1 - SPARE):
            return "Not even the longest example alone fits: lower data.max_length."
        return "Choose a smaller model: not even its gradients and Adam's means fit."
    times = -(-need.batch_tokens * config.accumulate // fits)
    return (
        f"training.batch_tokens={fits} fits; with training.accumulate={times} a step learns from "
        "as many tokens as now."
    )
