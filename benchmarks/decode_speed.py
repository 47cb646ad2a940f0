"""Translation decoding: output tokens per second, beside the peers, in one run.

    python -m benchmarks.decode_speed --shape base
    python -m benchmarks.decode_speed --shape small

Random weights, 25 tokens forced for each sentence, greedy and beam 4, batches of 1, 16 and 64; each
system is its own process, 5 interleaved rounds, medians, and ratios round by round.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from benchmarks import common
from benchmarks.common import TUNED_ALLOCATOR, Interpreters, Result, System
from benchmarks.workload import SHAPES


def _hugging_face(name: str, module: str, needs: str, precision: str, *, tuned: bool) -> System:
    return System(
        name=name,
        module=module,
        peer="huggingface",
        needs=needs,
        arguments=("--precision", precision),
        environment=TUNED_ALLOCATOR if tuned else {},
    )


def _ours(precision: str, name: str = "ours", module: str = "ours_decode") -> System:
    return System(
        name=f"{name}-{precision}",
        module=module,
        peer="ours",
        needs="polyhead",
        arguments=("--precision", precision),
    )


_CT2, _HF = "ctranslate2_decode", "huggingface_decode"

SYSTEMS = [
    _ours("int8"),
    _hugging_face("ctranslate2-int8", _CT2, "ctranslate2", "int8", tuned=False),
    _hugging_face("ctranslate2-int8-tuned", _CT2, "ctranslate2", "int8", tuned=True),
    _ours("int8", "exported", "exported_decode"),
    _ours("bf16"),
    _hugging_face("hf-bf16", _HF, "transformers", "bf16", tuned=False),
    _ours("fp32"),
    _hugging_face("ctranslate2-fp32", _CT2, "ctranslate2", "fp32", tuned=False),
    _hugging_face("hf-fp32", _HF, "transformers", "fp32", tuned=False),
]


def figures_of(results: Mapping[str, list[Result]]) -> list[str]:
    """The figures that the systems measured, in the order of measuring."""
    found: dict[str, None] = {}
    for rounds in results.values():
        for result in rounds:
            found.update(dict.fromkeys(key for key in result if "batch" in key))
    return list(found)


def table_of(
    results: Mapping[str, list[Result]], figures: Sequence[str], *, reference: str
) -> Table:
    """Medians in tokens per second, and below each the reference's ratio to it."""
    table = Table(
        Column("system", no_wrap=True),
        *figures,
        caption=f"×: {reference} / system, median of the rounds",
    )
    ours = results[reference]
    for name, rounds in results.items():
        if not common.succeeded(rounds):
            continue
        cells = [f"{common.median_of(rounds, key):,.0f}" for key in figures]
        if common.succeeded(ours) and name != reference:
            found = [common.ratio(ours, rounds, key)["median"] for key in figures]
            cells = [f"{cell}\n×{value:.2f}" for cell, value in zip(cells, found, strict=True)]
        table.add_row(name, *cells)
    return table


def main() -> None:
    """Measure, print the table, write the JSON."""
    names = [system.name for system in SYSTEMS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="base")
    parser.add_argument("--systems", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument(
        "--reference", choices=names, default="ours-int8", help="what ratios are of"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="at least, per figure and round")
    parser.add_argument("--batches", nargs="+", default=["1", "16", "64"])
    parser.add_argument("--beams", nargs="+", default=["1", "4"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    common.add_clock(parser)
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PATH")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/decode_SHAPE.json")
    args = parser.parse_args()
    common.check_clock(parser, args)

    console = Console(stderr=True)
    common.avoid_broken_amx(console)
    machine = common.machine(args.threads)
    arguments = ["--shape", args.shape, "--seconds", str(args.seconds)]
    arguments += [
        "--threads",
        str(args.threads),
        "--batches",
        *args.batches,
        "--beams",
        *args.beams,
        "--clock",
        args.clock,
    ]
    results = common.interleave(
        [system for system in SYSTEMS if system.name in {*args.systems, args.reference}],
        Interpreters.from_options(args.python),
        arguments,
        rounds=args.rounds,
        console=console,
    )
    figures = figures_of(results)
    common.show(table_of(results, figures, reference=args.reference), results)
    common.write_json(
        args.json or common.ROOT / "benchmarks" / "results" / f"decode_{args.shape}.json",
        {
            "benchmark": "translation decoding, output tokens per second",
            "shape": vars(SHAPES[args.shape]),
            "machine": machine,
            "clock": args.clock,
            "systems": common.summary(results, figures, reference=args.reference),
        },
    )


if __name__ == "__main__":
    main()
