"""Hugging Face MarianMT on given token ids: trained for a time, best weights on valid, beam search.

Reads what `benchmarks.korean_english` wrote: pairs of ids, and the size. See `marian`.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path

from benchmarks.peers.marian import Marian, add_options
from benchmarks.peers.training import count_parameters
from benchmarks.workload import Pair, Shape

BEAM = 5
VALIDATIONS = 20


def train(marian: Marian, train: list[Pair], valid: list[Pair], minutes: float) -> dict[str, float]:
    """Train for so many minutes, validation not counted; ends with the weights best on valid."""
    stepping = marian.steps(train)
    tokens, steps, trained, started = 0, 0, 0.0, time.perf_counter()
    best, weights, best_step = float("inf"), marian.model.state_dict(), 0
    for part in range(1, VALIDATIONS + 1):
        while trained < minutes * 60 * part / VALIDATIONS:
            tokens += next(stepping)[0]
            steps += 1
            now = time.perf_counter()
            trained, started = trained + now - started, now
        nll = marian.nll(valid)
        print(f"{trained / 60:.1f} minutes: valid {nll:.3f} nats per token", file=sys.stderr)
        if nll < best:
            best, weights, best_step = nll, copy.deepcopy(marian.model.state_dict()), steps
        started = time.perf_counter()
    marian.model.load_state_dict(weights)
    return {
        "steps": steps,
        "best_step": best_step,
        "valid_nll": best,
        "tokens_per_second": tokens / trained,
    }


def main() -> None:
    """Train, translate, print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--split", choices=("test", "valid"), default="test", help="what is scored")
    add_options(parser)
    args = parser.parse_args()
    given = json.loads((args.data / "ids.json").read_text())
    marian = Marian(Shape(**given["shape"]), given["end"], given["pad"], args)
    found = train(marian, given["train"], given["valid"], args.minutes)
    sources = [source for source, _ in given[args.split]]
    outputs = marian.translate(sources, beam=BEAM, max_length=given["max_length"])
    facts = {"parameters": count_parameters(marian.model), "precision": marian.precision}
    print(json.dumps({**found, **facts, "outputs": outputs}))


if __name__ == "__main__":
    main()
