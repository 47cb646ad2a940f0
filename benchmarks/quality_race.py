"""Quality against time: Multi30k English-German, Polyhead in half the time of a tuned peer.

    POLYHEAD_DATA=FOLDER python -m benchmarks.quality_race

Hugging Face MarianMT with an expert's settings is scored after 5, 10 and 20 minutes of training;
`polyhead train` gets 2.5, 5 and 10. Same sentences, same score: sacreBLEU of the test set, beam 5,
lower-cased raw text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import common
from benchmarks.common import TUNED_ALLOCATOR, Interpreters, Result, System
from benchmarks.peers.huggingface_race import read_lines

RECIPE = "recipes/multi30k-en-de-fast.yaml"
PEER = System(
    name="hf-marian-tuned",
    module="huggingface_race",
    peer="huggingface",
    needs="transformers",
    environment=TUNED_ALLOCATOR,
)


def polyhead(*arguments: str, environment: dict[str, str]) -> str:
    """Run the command line as a user does; its standard output."""
    command = Path(sys.executable).with_name("polyhead")
    return subprocess.run(
        [str(command), *arguments],
        cwd=common.ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def train_ours(minutes: float, data: Path, threads: int) -> Result:
    """Train for so many minutes, translate the test set, score it."""
    import sacrebleu

    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        run, source = Path(folder, "run"), Path(folder, "test.en")
        source.write_text("\n".join(read_lines(data, "test.en")) + "\n")
        started = time.perf_counter()
        limit = f"training.max_minutes={minutes}"
        polyhead("train", RECIPE, limit, "--out", str(run), environment=environment)
        wall_minutes = (time.perf_counter() - started) / 60
        output = polyhead(
            "translate", str(run), str(source), "--beam", "5", environment=environment
        )
        progress = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in progress if line["kind"] == "train"][-1]
    return {
        "minutes": minutes,
        "wall_minutes": wall_minutes,
        "bleu": sacrebleu.corpus_bleu(output.splitlines(), [read_lines(data, "test.de")]).score,
        "steps": last["step"],
        "tokens_per_second": last["tokens_per_second"],
    }


def table_of(peer: Sequence[Result], ours: Sequence[Result]) -> Table:
    """Each line a time of the peer and half of it for Polyhead."""
    table = Table(
        "peer, minutes", "BLEU", "tokens/s", "Polyhead, minutes", "BLEU", "tokens/s", "difference"
    )
    for theirs, mine in zip(peer, ours, strict=True):
        both = [
            cell
            for result in (theirs, mine)
            for cell in (
                f"{result['minutes']:g}",
                f"{result['bleu']:.1f}",
                f"{result['tokens_per_second']:,.0f}",
            )
        ]
        table.add_row(*both, f"{mine['bleu'] - theirs['bleu']:+.1f}")
    return table


def main() -> None:
    """Train both, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer-minutes", default="5,10,20", help="Polyhead gets half of each")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PATH")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/quality_race.json"))
    parser.add_argument("peer_options", nargs="*", help="after --: options of the peer's training")
    args = parser.parse_args()
    if "POLYHEAD_DATA" not in os.environ:
        parser.error("POLYHEAD_DATA is not set: the folder that holds multi30k_ende")
    data = Path(os.environ["POLYHEAD_DATA"], "multi30k_ende").resolve()
    minutes = [float(part) for part in args.peer_minutes.split(",")]

    console = Console(stderr=True)
    common.avoid_broken_amx(console)
    machine = common.machine(args.threads)
    console.print(f"peer: {max(minutes):g} minutes of training, scored at {args.peer_minutes}")
    arguments = ["--data", str(data), "--threads", str(args.threads), *args.peer_options]
    arguments += ["--minutes", *map(str, minutes)]
    peer = common.run_system(PEER, Interpreters.from_options(args.python), arguments)
    if not common.succeeded([peer]):
        sys.exit(f"{PEER.name}: {peer}")
    ours = []
    for limit in minutes:
        console.print(f"Polyhead: {limit / 2:g} minutes")
        ours.append(train_ours(limit / 2, data, args.threads))
    Console().print(table_of(peer["scores"], ours))
    common.write_json(
        args.json,
        {"benchmark": "quality race", "machine": machine, PEER.name: peer, "ours": ours},
    )


if __name__ == "__main__":
    main()
