"""What a training system is, and the process that times it.

Every system takes the same batches in the same order, and its `step` does forward, backward and
the optimiser's update. Warm-up steps (the largest batches first, so that memory is there) are not
timed. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch

from benchmarks.workload import SHAPES, Pair, Shape, target_tokens, training_batches

WARM_UP_STEPS = 3


class TrainingSystem(Protocol):
    """One toolkit: builds its model, turns the batches into its own, and trains on one of them."""

    def prepare(self, shape: Shape, batches: list[list[Pair]], precision: str) -> dict[str, object]:
        """Build everything; returns facts worth recording (versions, settings, parameters)."""

    def step(self, index: int) -> float:
        """Forward, backward and update on batch `index`; the loss in nats per target token."""


def autocast(precision: str) -> AbstractContextManager[object]:
    """The context of a forward pass: bf16 autocast, or nothing for fp32."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def count_parameters(model: torch.nn.Module) -> int:
    """Trainable parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def time_steps(system: TrainingSystem, batches: list[list[Pair]]) -> dict[str, object]:
    """Train once over all batches after the warm-up; tokens, seconds and losses."""
    sizes = [sum(len(source) + len(target) for source, target in batch) for batch in batches]
    largest = sorted(range(len(batches)), key=lambda i: -sizes[i])[:WARM_UP_STEPS]
    warm_up = [system.step(i) for i in largest]
    started, cpu_started = time.perf_counter(), time.process_time()
    losses = [system.step(i) for i in range(len(batches))]
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    tokens = sum(map(target_tokens, batches))
    return {
        "tokens": tokens,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens_per_second": tokens / seconds,
        "first_loss": warm_up[0],
        "last_loss": losses[-1],
    }


def main(make_system: Callable[[], TrainingSystem]) -> None:
    """Run one system in this process, as told by the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--steps", type=int, default=0, help="0: as many as the shape says")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    batches = training_batches(shape, steps=args.steps or shape.steps)
    system = make_system()
    try:
        facts = system.prepare(shape, batches, args.precision)
    except ModuleNotFoundError as error:
        print(json.dumps({"not_installed": str(error)}))
        return
    result = time_steps(system, batches)
    print(json.dumps({**result, **facts, "torch": torch.__version__}))
