"""What `check-data` found in a recipe's data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from polyhead.data.checks import FAULTS, WARNINGS, Problem

MANY_UNKNOWN = 0.01  # of the tokens of a split: a larger share is told
Stage = Callable[[str, int | None], Callable[[int], object]]
"""Begins a stage of so many things; the function it returns hears how many more are done."""


@dataclass
class Findings:
    """What was found; `as_dict` is what `check-data --json` prints."""

    problems: list[Problem] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    lengths: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown_rate: dict[str, dict[str, float]] = field(default_factory=dict)
    overlap: dict[str, dict[str, int]] = field(default_factory=dict)
    vocabulary: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    unit: str = "pairs"

    @property
    def is_fine(self) -> bool:
        """Whether training would be right; there may be warnings."""
        return not any(problem.is_fault for problem in self.problems)

    def has(self, *kinds: str) -> bool:
        """Whether there is a problem of one of these kinds."""
        return any(problem.kind in kinds for problem in self.problems)

    def counts(self) -> dict[str, dict[str, Any]]:
        """How many problems of each kind, faults first."""
        found = Counter(problem.kind for problem in self.problems)
        return {
            kind: {"severity": "fault" if kind in FAULTS else "warning", "count": found[kind]}
            for kind in [*FAULTS, *WARNINGS]
            if found[kind]
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "pairs": self.splits.get("train", 0),
            "kept": self.kept,
            "problems": [problem.as_dict() for problem in self.problems],
            "ok": self.is_fine,
            "counts": self.counts(),
            "splits": self.splits,
            "vocabulary": self.vocabulary,
            "unknown_rate": self.unknown_rate,
            "overlap": self.overlap,
            "lengths": self.lengths,
            "labels": self.labels,
        }
