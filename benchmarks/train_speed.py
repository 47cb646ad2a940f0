r"""Translation training: target tokens per second, beside the peers, in one run.

    python -m benchmarks.train_speed --shape small
    python -m benchmarks.train_speed --shape base
    python -m benchmarks.train_speed --shape rnn --reference ours-fp32 \
        --systems ours-fp32 joeynmt-fp32

Forward, backward and Adam on the same batches of about 2048 target tokens; each system is its own
process, 5 interleaved rounds, medians, and ratios round by round.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.console import Console

from benchmarks import common
from benchmarks.common import TUNED_ALLOCATOR, Interpreters, System
from benchmarks.workload import SHAPES


def _peer(name: str, module: str, needs: str, *arguments: str, tuned: bool = False) -> System:
    return System(
        name=name,
        module=module,
        peer=module,
        needs=needs,
        arguments=arguments,
        environment=TUNED_ALLOCATOR if tuned else {},
    )


_BF16, _FP32 = ("--precision", "bf16"), ("--precision", "fp32")

SYSTEMS = [
    _peer("ours", "ours", "polyhead", *_BF16),
    _peer("hf-marian-tuned", "huggingface", "transformers", *_BF16, "--tuned", tuned=True),
    _peer("opennmt-bf16", "opennmt", "onmt", *_BF16),
    _peer("sockeye-bf16", "sockeye", "sockeye", *_BF16),
    _peer("hf-marian-bf16", "huggingface", "transformers", *_BF16),
    _peer("joeynmt-bf16", "joeynmt", "joeynmt", *_BF16),
    _peer("ours-fp32", "ours", "polyhead", *_FP32),
    _peer("hf-marian-tuned-fp32", "huggingface", "transformers", *_FP32, "--tuned", tuned=True),
    _peer("opennmt-fp32", "opennmt", "onmt", *_FP32),
    _peer("sockeye-fp32", "sockeye", "sockeye", *_FP32),
    _peer("hf-marian-fp32", "huggingface", "transformers", *_FP32),
    _peer("joeynmt-fp32", "joeynmt", "joeynmt", *_FP32),
]


def main() -> None:
    """Measure, print the table, write the JSON."""
    names = [system.name for system in SYSTEMS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--systems", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--reference", choices=names, default="ours", help="what ratios are of")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="0: 10 to 20 seconds a run")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PATH")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/train_SHAPE.json")
    args = parser.parse_args()

    console = Console(stderr=True)
    common.avoid_broken_amx(console)
    machine = common.machine(args.threads)
    wanted = {*args.systems, args.reference}
    systems = [system for system in SYSTEMS if system.name in wanted]
    results = common.interleave(
        systems,
        Interpreters.from_options(args.python),
        ("--shape", args.shape, "--steps", str(args.steps), "--threads", str(args.threads)),
        rounds=args.rounds,
        console=console,
    )
    common.show(common.compare(results, "tokens_per_second", reference=args.reference), results)
    common.write_json(
        args.json or common.ROOT / "benchmarks" / "results" / f"train_{args.shape}.json",
        {
            "benchmark": "translation training",
            "shape": vars(SHAPES[args.shape]),
            "machine": machine,
            "systems": common.summary(results, ["tokens_per_second"], reference=args.reference),
        },
    )


if __name__ == "__main__":
    main()
