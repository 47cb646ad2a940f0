"""The work every system does: model shapes, and batches of random tokens with realistic lengths.

Only the standard library is used, and only `random.Random`, whose numbers are the same in every
Python version, so that each peer's own environment makes exactly the same batches.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# Ids 0 to 3 are left to each system's own special symbols, and the last id to Marian's padding.
FIRST_WORD = 4

Pair = tuple[list[int], list[int]]
"""Source and target word ids, without special symbols."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An encoder-decoder with one shared vocabulary and tied embeddings.

    A Transformer; or, with `rnn`, an LSTM both ways (d_model / 2 each), an LSTM of d_model and
    Luong's general attention, with or without input feeding.
    """

    name: str
    d_model: int
    num_layers: int
    d_ff: int = 0
    num_heads: int = 1
    vocab_size: int
    rnn: bool = False
    input_feeding: bool = False
    dropout: float = 0.1
    label_smoothing: float = 0.1
    learning_rate: float = 1e-4
    steps: int = 1
    """Training steps timed in one run: 10 to 20 seconds on two cores."""


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(  # for trying the harness, not for figures
            name="tiny",
            d_model=64,
            num_layers=1,
            d_ff=128,
            num_heads=2,
            vocab_size=1000,
            steps=4,
        ),
        Shape(
            name="small",
            d_model=256,
            num_layers=3,
            d_ff=1024,
            num_heads=4,
            vocab_size=8000,
            steps=20,
        ),
        Shape(
            name="base",
            d_model=512,
            num_layers=6,
            d_ff=2048,
            num_heads=8,
            vocab_size=16000,
            steps=8,
        ),
        Shape(name="rnn", rnn=True, d_model=512, num_layers=1, vocab_size=8000, steps=12),
        Shape(
            name="rnn-fed",
            rnn=True,
            input_feeding=True,
            d_model=512,
            num_layers=1,
            vocab_size=8000,
            steps=12,
        ),
    )
}

BATCH_TOKENS = 2048
MAX_LENGTH = 60


def draw_length(rng: random.Random) -> int:
    """A sentence length: log-normal, four in five between 10 and 40 words."""
    return min(MAX_LENGTH, max(4, round(rng.lognormvariate(3.0, 0.5))))


def draw_pair(rng: random.Random, vocab_size: int) -> Pair:
    """A pair whose two lengths agree as in real text (ratio about 1 ± 0.15)."""
    target_length = draw_length(rng)
    source_length = min(MAX_LENGTH, max(3, round(target_length * rng.gauss(1.0, 0.15))))
    source = [rng.randrange(FIRST_WORD, vocab_size - 1) for _ in range(source_length)]
    target = [rng.randrange(FIRST_WORD, vocab_size - 1) for _ in range(target_length)]
    return source, target


def training_batches(shape: Shape, *, steps: int, seed: int = 1) -> list[list[Pair]]:
    """Exactly `steps` batches of at most 2048 target positions, padding and end symbol included.

    Pairs are sorted by length before they are cut into batches, as every toolkit does; the batches
    kept are spread evenly over the lengths, then shuffled.
    """
    rng = random.Random(seed)
    # A batch holds about 90 pairs; a third more than needed are drawn so that `steps` are there.
    pairs = [draw_pair(rng, shape.vocab_size) for _ in range(120 * (steps + 2))]
    pairs.sort(key=lambda pair: (len(pair[1]), len(pair[0])))
    batches: list[list[Pair]] = [[]]
    for pair in pairs:
        if (len(batches[-1]) + 1) * (len(pair[1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(pair)
    full = batches[:-1]
    chosen = [full[(2 * i + 1) * len(full) // (2 * steps)] for i in range(steps)]
    rng.shuffle(chosen)
    return chosen


def target_tokens(batch: list[Pair]) -> int:
    """Target tokens that are predicted: the words and one end symbol each, no padding."""
    return sum(len(target) + 1 for _, target in batch)


def source_sentences(shape: Shape, *, count: int, seed: int = 1) -> list[list[int]]:
    """Random source sentences of realistic lengths, for decoding."""
    rng = random.Random(seed)
    return [draw_pair(rng, shape.vocab_size)[0] for _ in range(count)]


def padded(rows: list[list[int]], *, padding: int) -> list[list[int]]:
    """The rows, filled at the right to the longest one's length."""
    longest = max(map(len, rows))
    return [row + [padding] * (longest - len(row)) for row in rows]
