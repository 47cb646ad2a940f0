"""Tiny Shakespeare by counting: what a model of characters has to beat.

    POLYHEAD_DATA=… python -m benchmarks.ngram_floor

Interpolated n-grams (Witten and Bell 1991) of the characters of train: nats per character of valid
and of test, for n from 1 to 6. Nothing is chosen, so nothing is tuned.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from pathlib import Path

LONGEST = 6


class Counts:
    """p_n(c | h) = (count(h c) + types(h) p_{n-1}(c | h)) / (count(h) + types(h))."""

    def __init__(self, text: str, longest: int):
        self.letters = len(set(text))
        self.after: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for i, letter in enumerate(text):
            for n in range(min(longest, i + 1)):
                self.after[text[i - n : i]][letter] += 1
        self.total = {history: found.total() for history, found in self.after.items()}

    def probabilities(self, history: str, letter: str) -> list[float]:
        """p of the letter by n-grams of 1, 2, … letters: as many as the history has, and one."""
        p, found = 1 / self.letters, []
        for n in range(len(history) + 1):
            seen = self.after.get(history[len(history) - n :])
            if seen is not None:
                total = self.total[history[len(history) - n :]]
                p = (seen[letter] + len(seen) * p) / (total + len(seen))
            found.append(p)
        return found


def nats(counts: Counts, text: str, longest: int) -> list[float]:
    """Nats per letter for n-grams of 1 … `longest` letters; the first letters have short ones."""
    sums = [0.0] * longest
    for i, letter in enumerate(text):
        found = counts.probabilities(text[max(0, i - longest + 1) : i], letter)
        for n in range(longest):
            sums[n] -= math.log(found[min(n, len(found) - 1)])
    return [one / len(text) for one in sums]


def main() -> None:
    """Count, and print a row for each split."""
    folder = Path(os.environ["POLYHEAD_DATA"]) / "tiny_shakespeare"
    splits = ("train", "valid", "test")
    train, *judged = ((folder / f"{name}.txt").read_text(encoding="utf-8") for name in splits)
    counts = Counts(train, LONGEST)
    print("n    ", *(f"{n + 1:6}" for n in range(LONGEST)))
    for name, text in zip(splits[1:], judged, strict=True):
        print(f"{name:5}", *(f"{one:6.3f}" for one in nats(counts, text, LONGEST)))


if __name__ == "__main__":
    main()
