"""GPT and BERT beside Hugging Face and CTranslate2: tokens per second, in one run.

    python -m benchmarks.language_speed --work train --shape char      # and gpt2, bert
    python -m benchmarks.language_speed --work write --shape gpt2

Training: full rows, forward, backward, AdamW, no dropout; both sides in bf16 and in fp32. Writing:
32 tokens greedily after 32, batches of 1 and 16. Each system is its own process, interleaved
rounds, medians, and ratios round by round.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Console

from benchmarks import common
from benchmarks.common import TUNED_ALLOCATOR, Interpreters, System
from benchmarks.decode_speed import figures_of, table_of
from benchmarks.peers.language import SHAPES


def _system(name: str, module: str, peer: str, needs: str, precision: str) -> System:
    return System(
        name=f"{name}-{precision}",
        module=f"{module}_language",
        peer=peer,
        needs=needs,
        arguments=("--precision", precision),
        environment=TUNED_ALLOCATOR if name.endswith("tuned") else {},
    )


_HF = ("huggingface", "huggingface", "transformers")
_CT2 = ("ctranslate2", "huggingface", "ctranslate2")
_OURS = ("ours", "ours", "polyhead")
SYSTEMS = {
    "train": [
        *(_system("ours", *_OURS, precision) for precision in ("bf16", "fp32")),
        *(_system("hf", *_HF, precision) for precision in ("bf16", "fp32")),
        *(_system("hf-tuned", *_HF, precision) for precision in ("bf16", "fp32")),
    ],
    "write": [
        *(_system("ours", *_OURS, precision) for precision in ("int8", "bf16", "fp32")),
        _system("ctranslate2", *_CT2, "int8"),
        *(_system("hf", *_HF, precision) for precision in ("bf16", "fp32")),
    ],
}
REFERENCE = {"train": "ours-bf16", "write": "ours-int8"}


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--work", choices=SYSTEMS, default="train")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="char")
    parser.add_argument("--systems", nargs="+", metavar="NAME")
    parser.add_argument("--reference", help="what ratios are of")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", nargs="+", default=["1", "16"], help="of writing")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    common.add_clock(parser)
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PATH")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/WORK_SHAPE.json")
    args = parser.parse_args()
    common.check_clock(parser, args)
    known = [system.name for system in SYSTEMS[args.work]]
    reference = args.reference or REFERENCE[args.work]
    wanted = {*(args.systems or known), reference}
    if unknown := sorted(wanted - set(known)):
        parser.error(f"no system {unknown[0]}; --work {args.work} has {', '.join(known)}")

    console = Console(stderr=True)
    common.avoid_broken_amx(console)
    machine = common.machine(args.threads)
    arguments = ["--shape", args.shape, "--threads", str(args.threads), "--clock", args.clock]
    if args.work == "write":
        arguments += ["--batches", *args.batches]
    results = common.interleave(
        [system for system in SYSTEMS[args.work] if system.name in wanted],
        Interpreters.from_options(args.python),
        arguments,
        rounds=args.rounds,
        console=console,
    )
    if args.work == "train":
        figures = ["tokens_per_second"]
        table = common.compare(results, *figures, reference=reference)
    else:
        figures = figures_of(results)
        table = table_of(results, figures, reference=reference)
    common.show(table, results)
    common.write_json(
        args.json or common.ROOT / "benchmarks" / "results" / f"{args.work}_{args.shape}.json",
        {
            "benchmark": f"language models, {args.work}: tokens per second",
            "shape": vars(SHAPES[args.shape]),
            "machine": machine,
            "clock": args.clock,
            "systems": common.summary(results, figures, reference=reference),
        },
    )


if __name__ == "__main__":
    main()
