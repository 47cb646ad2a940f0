"""How long a user waits before anything happens: `polyhead --help`, and one translated line.

    python -m benchmarks.start_up --run RUN

Every figure is the median of 5 new processes. "Cold" means a new process; the files may be in the
system's cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import common


def seconds_of(arguments: list[str], *, text: str = "") -> float:
    """Wall time of one `polyhead` process that reads `text`."""
    command = Path(sys.executable).with_name("polyhead")
    started = time.perf_counter()
    subprocess.run(
        [str(command), *arguments], input=text, text=True, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, help="a run folder; without it only --help is timed")
    parser.add_argument("--text", default="a man is walking down the street .")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/start_up.json"))
    args = parser.parse_args()

    machine = common.machine(os.cpu_count() or 1)
    commands = {"polyhead --help": ["--help"]}
    if args.run:
        commands["polyhead translate, one line"] = ["translate", str(args.run), "-"]
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, arguments in commands.items():
            found[name].append(seconds_of(arguments, text=args.text + "\n"))

    table = Table("command", "median s", "lowest – highest")
    for name, seconds in found.items():
        spread = f"{min(seconds):.2f} – {max(seconds):.2f}"
        table.add_row(name, f"{statistics.median(seconds):.2f}", spread)
    Console().print(table)
    if not args.run:
        Console().print("polyhead translate: not timed, no --run given")
    common.write_json(args.json, {"benchmark": "start-up", "machine": machine, "seconds": found})


if __name__ == "__main__":
    main()
