"""What the benchmarks share: systems as processes, interleaved rounds, tables, the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent

Result = dict[str, Any]
"""What a system's process printed, or {"not_installed": …} or {"failed": …}."""

# What an expert sets for any torch or CTranslate2 program on Linux, without touching its code:
# large buffers stay in the process, in huge pages, instead of going back to the system every step.
TUNED_ALLOCATOR = {
    "THP_MEM_ALLOC_ENABLE": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "MALLOC_TOP_PAD_": "67108864",
}

_MATRIX_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile")
_TRY_BF16 = "import torch; torch.nn.Linear(256, 256, dtype=torch.bfloat16)(torch.ones(256, 256, \
dtype=torch.bfloat16))"


@dataclass(frozen=True, kw_only=True)
class System:
    """One row of a table: a module of `benchmarks.peers`, its arguments and environment."""

    name: str
    module: str
    peer: str
    """Which virtual environment serves it: a folder of POLYHEAD_PEERS, or a --python NAME."""
    needs: str
    """The package that must be importable, where this interpreter is used for lack of a folder."""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Interpreters:
    """Where each peer's Python is."""

    named: Mapping[str, Path]
    folder: Path | None

    @classmethod
    def from_options(cls, options: Sequence[str]) -> Interpreters:
        """From `--python NAME=PATH …` and the variable POLYHEAD_PEERS."""
        pairs = (option.partition("=") for option in options)
        folder = os.environ.get("POLYHEAD_PEERS")
        return cls(
            named={name: Path(path) for name, _, path in pairs},
            folder=Path(folder) if folder else None,
        )

    def find(self, system: System) -> Path | None:
        """The Python that can run this system, or None."""
        if system.peer in self.named:
            return self.named[system.peer]
        if self.folder and (own := self.folder / system.peer / "bin" / "python").exists():
            return own
        return Path(sys.executable) if find_spec(system.needs) else None


def add_clock(parser: argparse.ArgumentParser) -> None:
    """--clock, of benchmarks that can count a process's own time."""
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: for --threads 1, beside others",
    )


def check_clock(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message where the clock would count several threads' time."""
    if args.clock == "cpu" and args.threads != 1:
        parser.error("--clock cpu adds up the threads' time: it needs --threads 1")


def run_system(system: System, interpreters: Interpreters, arguments: Sequence[str]) -> Result:
    """Run one system in its own process; its result is the last line it printed."""
    python = interpreters.find(system)
    if python is None:
        return {"not_installed": f"no environment for {system.peer}; see benchmarks/README.md"}
    process = subprocess.run(
        [str(python), "-m", f"benchmarks.peers.{system.module}", *system.arguments, *arguments],
        cwd=ROOT,
        env={**os.environ, **system.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        return {"failed": _why(process)}
    result: Result = json.loads(process.stdout.strip().splitlines()[-1])
    return result


def _why(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    lines = process.stderr.strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {process.returncode}"


def interleave(
    systems: Sequence[System],
    interpreters: Interpreters,
    arguments: Sequence[str],
    *,
    rounds: int,
    console: Console,
) -> dict[str, list[Result]]:
    """Run every system once per round, every second round backwards, so that drift cancels out.

    A system that is not installed or failed is not tried again; its one result says why.
    """
    results: dict[str, list[Result]] = {system.name: [] for system in systems}
    for number in range(rounds):
        for system in systems if number % 2 == 0 else reversed(systems):
            so_far = results[system.name]
            if so_far and not succeeded(so_far):
                continue
            console.print(f"round {number + 1}/{rounds}: {system.name}", style="dim")
            so_far.append(run_system(system, interpreters, arguments))
    return results


def succeeded(results: Sequence[Result]) -> bool:
    """Whether a system ran in every round it was given."""
    return bool(results) and not any("failed" in r or "not_installed" in r for r in results)


def median_of(results: Sequence[Result], key: str) -> float:
    """The median of one figure over the rounds."""
    return statistics.median(result[key] for result in results)


def ratio(ours: Sequence[Result], theirs: Sequence[Result], key: str) -> dict[str, float]:
    """Median, lowest and highest of ours / theirs over the rounds, each round a pair."""
    ratios = [a[key] / b[key] for a, b in zip(ours, theirs, strict=False)]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def compare(results: Mapping[str, list[Result]], key: str, *, reference: str) -> Table:
    """A table of medians, spreads and of `reference`'s ratio to every system."""
    table = Table("system", key.replace("_", " "), "lowest – highest", f"{reference} / system")
    ours = results[reference]
    for name, rounds in results.items():
        if not succeeded(rounds):
            continue
        values = [result[key] for result in rounds]
        cells = [f"{median_of(rounds, key):,.0f}", f"{min(values):,.0f} – {max(values):,.0f}"]
        if succeeded(ours) and name != reference:
            found = ratio(ours, rounds, key)
            cells.append(f"{found['median']:.2f} ({found['low']:.2f} – {found['high']:.2f})")
        table.add_row(name, *cells)
    return table


def show(table: Table, results: Mapping[str, list[Result]]) -> None:
    """Print the table, and below it every system that has no figures, with the reason."""
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
    for name, rounds in results.items():
        if not succeeded(rounds):
            last = rounds[-1]
            why = "not installed" if "not_installed" in last else "failed"
            console.print(f"{name}: {why}: {last.get('not_installed', last.get('failed'))}")


def summary(
    results: Mapping[str, list[Result]], keys: Sequence[str], *, reference: str
) -> dict[str, object]:
    """For JSON: every system's rounds, medians and the reference's ratios to it."""
    ours = results[reference]
    found: dict[str, object] = {}
    for name, rounds in results.items():
        entry: dict[str, object] = {"rounds": rounds}
        if succeeded(rounds):
            entry["median"] = {key: median_of(rounds, key) for key in keys}
            if succeeded(ours):
                entry[f"{reference}_ratio"] = {key: ratio(ours, rounds, key) for key in keys}
        found[name] = entry
    return found


def avoid_broken_amx(console: Console) -> None:
    """Keep every system off AMX where it kills the process, and say so.

    Some virtual machines announce AMX but do not let it be configured: oneDNN's first bf16 or int8
    product then dies with SIGILL. One variable, the same for all systems, makes them comparable.
    """
    process = subprocess.run(
        [sys.executable, "-c", _TRY_BF16], check=False, stderr=subprocess.DEVNULL
    )
    if process.returncode == -signal.SIGILL:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_FP16"
        console.print("AMX is announced but broken here: all systems run with AVX-512 instead")


def machine(threads: int) -> dict[str, object]:
    """What a reader must know of the machine to judge the figures."""
    import torch

    model, flags = _processor()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "flags": [flag for flag in _MATRIX_FLAGS if flag in flags],
        "onednn_max_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "not limited"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> tuple[str, set[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor(), set()
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    return facts.get("model name", platform.processor()), set(facts.get("flags", "").split())


def call(*arguments: str) -> None:
    """Polyhead's command line, in this process; raises SystemExit where it fails."""
    from polyhead.cli.main import main

    try:
        main(list(arguments))
    except SystemExit as end:
        if end.code:
            raise


def write_here(path: Path, content: Mapping[str, object]) -> None:
    """Write results that were found in this process, with what its machine is."""
    import torch

    write_json(path, {"machine": machine(torch.get_num_threads()), **content})


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write the results; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
