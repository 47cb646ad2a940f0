"""What `polyhead plan` foretells beside what a training then shows.

    python -m benchmarks.plan_accuracy RECIPE [key=value …]

Each row of changes (`--changes "key=value key=value"`, may stand several times) is planned, then
trained to its end, each in a process of its own; time is that of the training's first steps before
a validation, as its metrics.jsonl has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import common

_TRAIN = """
import sys
from polyhead import machine, memory
machine.prepare()
import polyhead.training.start
base = memory.used()
from polyhead import api
api.train(sys.argv[1], sys.argv[2], sys.argv[3:])
print(memory.peak() - base)
"""


def measure(recipe: str, changes: list[str]) -> dict[str, dict[str, float]]:
    """Foretold and shown memory (bytes), disk (bytes) and time (seconds a step)."""
    command = [sys.executable, "-m", "polyhead", "plan", recipe, *changes, "--json"]
    plan = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    with tempfile.TemporaryDirectory(prefix="polyhead-plan-") as name:
        run = Path(name) / "run"
        command = [sys.executable, "-c", _TRAIN, recipe, str(run), *changes]
        trained = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
        disk = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        seconds = _seconds_per_step(run / "metrics.jsonl")
    shown = {"peak_bytes": int(trained.stdout), "disk_bytes": disk, "seconds_per_step": seconds}
    return {key: {"plan": plan[key], "training": value} for key, value in shown.items()}


def _seconds_per_step(journal: Path) -> float:
    """Of the steps between validations."""
    entries = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    times = []
    for before, entry in pairwise(entries):
        if before["kind"] == entry["kind"] == "train":
            steps = entry["step"] - before["step"]
            times.append((entry["seconds"] - before["seconds"]) / steps)
    return sum(times) / len(times)


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe")
    parser.add_argument("--changes", action="append", help="key=value …; one training each")
    parser.add_argument("--json", type=Path, default="benchmarks/results/plan_accuracy.json")
    args = parser.parse_args()
    machine = common.machine(1)
    table = Table("training", "what", "plan", "training", "plan / training")
    results = []
    for changes in args.changes or [""]:
        found = measure(args.recipe, changes.split())
        results.append({"changes": changes, **found})
        for key, value in found.items():
            ratio = value["plan"] / value["training"]
            cells = (f"{value['plan']:,.4g}", f"{value['training']:,.4g}", f"{ratio:.2f}")
            table.add_row(changes, key, *cells)
    Console(width=140).print(table)
    common.write_json(args.json, {"benchmark": "plan", "machine": machine, "results": results})


if __name__ == "__main__":
    main()
