"""Language models' work: shapes, batches of random tokens, and the process that times a system.

Training: full rows of random tokens, forward, backward and the optimiser's update. Writing: prompts
of random tokens, greedy, the end forbidden until so many are written. Only the standard library's
`random` makes tokens, so that every environment makes the same. The last line of standard output
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.peers.decoding import CLOCKS

WARM_UP_STEPS = 4  # by then the process has all of the memory that it needs
PROMPT, WRITTEN = 32, 32
FIRST = 4  # ids below are special


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A GPT or a BERT, and a training batch of `rows` full rows."""

    kind: str
    width: int
    layers: int
    heads: int
    context: int
    vocab_size: int
    rows: int
    steps: int
    """Timed in one run: 10 to 20 seconds on two cores."""


SHAPES = {
    "tiny": Shape(
        kind="gpt", width=32, layers=1, heads=2, context=64, vocab_size=65, rows=4, steps=3
    ),
    "tiny-bert": Shape(
        kind="bert", width=32, layers=1, heads=2, context=64, vocab_size=500, rows=4, steps=3
    ),
    "char": Shape(
        kind="gpt", width=384, layers=6, heads=6, context=256, vocab_size=65, rows=8, steps=6
    ),
    "gpt2": Shape(
        kind="gpt", width=768, layers=12, heads=12, context=1024, vocab_size=50257, rows=1, steps=3
    ),
    "bert": Shape(
        kind="bert", width=768, layers=12, heads=12, context=128, vocab_size=30522, rows=8, steps=4
    ),
}
MASKED = 0.15


def rows_of(shape: Shape, *, rows: int, length: int, seed: int) -> list[list[int]]:
    """Rows of random tokens."""
    rng = random.Random(seed)
    return [[rng.randrange(FIRST, shape.vocab_size) for _ in range(length)] for _ in range(rows)]


def chosen_of(shape: Shape, *, seed: int) -> list[list[bool]]:
    """Which places of a batch are masked: 15% of each row."""
    rng = random.Random(seed)
    count = round(MASKED * shape.context)
    places = [set(rng.sample(range(shape.context), count)) for _ in range(shape.rows)]
    return [[place in row for place in range(shape.context)] for row in places]


def main(trainer: Callable[..., Any] | None, writer: Callable[..., Any]) -> None:
    """Time training, or with --batches writing, as told by the command line.

    trainer(shape, precision) gives a step: index -> loss; writer(shape, precision, threads) gives
    prompts -> how many tokens each got.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=sorted(SHAPES), default="char")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--batches", nargs="*", type=int, default=[])
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="at least, per figure of writing"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    args = parser.parse_args()
    clock = CLOCKS[args.clock]
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    shape = SHAPES[args.shape]
    result: dict[str, Any] = {"torch": torch.__version__, "threads": args.threads}
    if trainer is not None and not args.batches:
        step = trainer(shape, args.precision)
        for index in range(WARM_UP_STEPS):
            result["first_loss"] = step(index)
        started = clock()
        for index in range(shape.steps):
            result["last_loss"] = step(WARM_UP_STEPS + index)
        seconds = clock() - started
        result["tokens_per_second"] = shape.steps * shape.rows * shape.context / seconds
    else:
        write = writer(shape, args.precision, args.threads)
        for batch in args.batches:
            prompts = rows_of(shape, rows=batch, length=PROMPT, seed=3)
            write(prompts)
            tokens, started = 0, clock()
            while (seconds := clock() - started) < args.seconds or not tokens:
                written = write(prompts)
                if written != [WRITTEN] * batch:
                    raise ValueError(f"expected {WRITTEN} tokens for each, found {written}")
                tokens += sum(written)
            result[f"batch {batch}"] = tokens / seconds
    print(json.dumps(result))
