"""`polyhead compare layers`: the layers side by side, as a report, a table and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyhead import machine
from polyhead.complexity.kinds import KINDS, Sizes
from polyhead.complexity.measure import costs
from polyhead.complexity.reach import gradient_norms, rounds_needed
from polyhead.errors import UsageError
from polyhead.inspection.curves import Panel, save_panels_picture

SMALL, SMALL_LENGTH = Sizes(d_model=8, num_heads=2, local=4), 23  # where paths are looked at
GRADIENTS_UP_TO = 1024  # positions: beyond, nothing is left that fp64 could tell from noise


def parse_lengths(text: str) -> list[int]:
    """`64,256,1024` -> [64, 256, 1024], in order and each once; raises UsageError."""
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not part.isdecimal() or int(part) < 2]
    if wrong:
        raise UsageError(
            f"--lengths {text}: {wrong[0]!r} is not a length; give whole numbers from 2 on, with "
            "commas between them, for example --lengths 64,256,1024"
        )
    return sorted({int(part) for part in parts})


def compare_layers(
    lengths: Sequence[int], say: Callable[[str], None], sizes: Sizes | None = None
) -> dict[str, Any]:
    """What `compare layers --json` prints."""
    sizes = sizes or Sizes()
    machine.apply(replace(machine.choose("fp32"), device="cpu"))
    say(f"{len(KINDS)} kinds of layers at {len(lengths)} lengths take turns")
    found = costs(lengths, sizes)
    rows = [
        {
            "kind": kind.name,
            "length": length,
            **asdict(found[length, kind.name]),
            "sequential_operations": kind.sequential_operations(sizes, length),
            "max_path_length": kind.max_path_length(sizes, length),
        }
        for length in lengths
        for kind in KINDS
    ]
    far = min(lengths[-1], GRADIENTS_UP_TO)
    return {
        "layers": rows,
        "exponents": {kind.name: _exponents(rows, kind.name) for kind in KINDS},
        "gradients": [
            {"kind": kind.name, "length": far, "distance": distance, "norm": norm}
            for kind in KINDS
            for distance, norm in gradient_norms(kind, sizes, far).items()
        ],
        "path_checks": [
            {
                "kind": kind.name,
                "length": SMALL_LENGTH,
                "max_path_length": kind.max_path_length(SMALL, SMALL_LENGTH),
                "measured": rounds_needed(kind, SMALL, SMALL_LENGTH),
            }
            for kind in KINDS
        ],
        "sizes": asdict(sizes),
    }


def _exponents(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, float | None]:
    keys = {"forward": "forward_ms", "backward": "backward_ms", "memory": "peak_bytes"}
    mine = [row for row in rows if row["kind"] == kind]
    lengths = [row["length"] for row in mine]
    return {name: exponent(lengths, [row[key] for row in mine]) for name, key in keys.items()}


def exponent(lengths: Sequence[float], values: Sequence[float]) -> float | None:
    """p of values ~ length^p: the least-squares slope of the logarithms; None for one length."""
    if len(lengths) < 2:
        return None
    slope: float = (
        np.polynomial.Polynomial.fit(np.log(lengths), np.log(values), 1).convert().coef[1]
    )
    return round(float(slope), 3)


def table(report: dict[str, Any]) -> str:
    """The report as Markdown: costs, exponents, what is left of gradients."""
    sizes = report["sizes"]
    lines = [
        "One layer on one sequence, fp32: " + ", ".join(f"{k} {v}" for k, v in sizes.items()),
        "",
        "| layer | length | forward ms | backward ms | memory MiB | sequential | longest path |",
        "|---|" + "---:|" * 6,
    ]
    for row in report["layers"]:
        times = f"{row['forward_ms']:,.2f} | {row['backward_ms']:,.2f}"
        paths = f"{row['sequential_operations']:,} | {row['max_path_length']:,}"
        memory = f"{row['peak_bytes'] / 2**20:,.1f}"
        lines.append(f"| {row['kind']} | {row['length']:,} | {times} | {memory} | {paths} |")
    lines += ["", "Growth with the length n, as n^p:", ""]
    lines += ["| layer | forward p | backward p | memory p |", "|---|" + "---:|" * 3]
    for kind, found in report["exponents"].items():
        shown = ("–" if p is None else f"{p:.2f}" for p in found.values())
        lines.append(f"| {kind} | " + " | ".join(shown) + " |")
    distances = list(dict.fromkeys(one["distance"] for one in report["gradients"]))
    lines += ["", "The gradient's norm by distance (1: all of it):", ""]
    lines += [
        "| layer | " + " | ".join(map(str, distances)) + " |",
        "|---|" + "---:|" * len(distances),
    ]
    for kind in report["exponents"]:
        norms = [one["norm"] for one in report["gradients"] if one["kind"] == kind]
        lines.append(f"| {kind} | " + " | ".join(f"{norm:.2g}" for norm in norms) + " |")
    return "\n".join(lines)


def save_picture(report: dict[str, Any], path: Path) -> Path:
    """Draw time, memory and what is left of gradients; all axes are logarithmic."""

    def lines(rows: list[dict[str, Any]], across: str, up: Callable[[Any], float]) -> Any:
        found: dict[str, list[tuple[float, float, float, float]]] = {}
        for row in rows:
            y = up(row)
            found.setdefault(row["kind"].replace("_", " "), []).append((row[across], y, y, y))
        return found

    costs_ = report["layers"]
    gradients = [one for one in report["gradients"] if one["distance"] > 0]
    total = lines(costs_, "length", lambda row: row["forward_ms"] + row["backward_ms"])
    memory = lines(costs_, "length", lambda row: row["peak_bytes"] / 2**20)
    left = lines(gradients, "distance", lambda row: row["norm"])
    panels = [
        Panel("Forward and backward, ms", "length", total, logarithmic=True),
        Panel("Memory, MiB", "length", memory, logarithmic=True),
        Panel("Norm of the gradient", "distance (at the foot: less, or 0)", left, logarithmic=True),
    ]
    sizes = ", ".join(f"{key} {value}" for key, value in report["sizes"].items())
    return save_panels_picture(panels, path, title=f"Layers by length ({sizes})")
