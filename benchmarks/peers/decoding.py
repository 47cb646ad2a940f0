"""What a decoding system is, and the process that times it.

Every system translates the same random sentences with random weights and is made to write exactly
25 tokens for each (the end symbol is forbidden until then), one batch after the other. The number
of tokens it really wrote is checked. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Protocol

import torch

from benchmarks.workload import SHAPES, Shape, source_sentences

OUTPUT_LENGTH = 25
SENTENCES = {1: 8, 16: 32, 64: 64}
"""How many sentences one timed pass translates, for each batch size."""
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""cpu: seconds that the process computed, which other programs on the machine do not lengthen."""


class DecodingSystem(Protocol):
    """One toolkit: builds a random model of the shape and translates batches of word ids."""

    def prepare(self, shape: Shape, precision: str, threads: int) -> dict[str, object]:
        """Build everything; returns facts worth recording (versions, settings)."""

    def translate(self, batch: list[list[int]], *, beam: int) -> list[int]:
        """Translate source word ids; the number of tokens written for each sentence (best beam)."""


def time_batches(
    system: DecodingSystem,
    sentences: list[list[int]],
    *,
    batch: int,
    beam: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Translate all sentences in batches again and again for at least `seconds` of the clock."""
    batches = [sentences[i : i + batch] for i in range(0, len(sentences), batch)]
    system.translate(batches[0], beam=beam)
    tokens, started = 0, clock()
    while (spent := clock() - started) < seconds or not tokens:
        for one in batches:
            lengths = system.translate(one, beam=beam)
            if lengths != [OUTPUT_LENGTH] * len(one):
                raise ValueError(f"expected {OUTPUT_LENGTH} tokens for each, found {lengths}")
            tokens += sum(lengths)
    return {"tokens": tokens, "seconds": spent, "tokens_per_second": tokens / spent}


def main(make_system: Callable[[], DecodingSystem]) -> None:
    """Run one system in this process over every batch size and beam asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--batches", nargs="+", type=int, choices=SENTENCES, default=[1, 16, 64])
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--seconds", type=float, default=3.0, help="at least, per figure")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    system = make_system()
    try:
        facts = system.prepare(SHAPES[args.shape], args.precision, args.threads)
    except ModuleNotFoundError as error:
        print(json.dumps({"not_installed": str(error)}))
        return
    result: dict[str, object] = {**facts, "torch": torch.__version__}
    for beam in args.beams:
        for batch in args.batches:
            sentences = source_sentences(SHAPES[args.shape], count=SENTENCES[batch])
            timed = time_batches(
                system,
                sentences,
                batch=batch,
                beam=beam,
                seconds=args.seconds,
                clock=CLOCKS[args.clock],
            )
            result[figure(beam=beam, batch=batch)] = timed["tokens_per_second"]
    print(json.dumps(result))


def figure(*, beam: int, batch: int) -> str:
    """The name of one figure in the results."""
    return f"{'greedy' if beam == 1 else f'beam {beam}'}, batch {batch}"
