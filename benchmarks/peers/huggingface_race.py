"""Hugging Face MarianMT trained on Multi30k with an expert's settings, and scored on the way.

Tiny size (4+4 layers, d 128, feed-forward 256, 4 heads), joint BPE of 10,000; see `marian`. The
clock stands still while it is scored.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

from benchmarks.peers.marian import Marian, add_options
from benchmarks.peers.training import count_parameters
from benchmarks.workload import Shape

SPECIAL_SYMBOLS = ["</s>", "<unk>", "<pad>"]
EOS, UNK, PAD = range(3)
BEAM, MAX_LENGTH = 5, 80


def read_lines(folder: Path, name: str) -> list[str]:
    """Lower-cased lines of a file, packed or not."""
    packed = folder / f"{name}.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return text.decode().lower().splitlines()


class Race:
    """Texts, their tokenizer, and what learns from them; `bleu` scores."""

    def __init__(self, data: Path, args: argparse.Namespace) -> None:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        sources, targets = read_lines(data, "train.en"), read_lines(data, "train.de")
        self.tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_SYMBOLS[UNK]))
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        self.tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=args.vocab_size,
            special_tokens=SPECIAL_SYMBOLS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        self.tokenizer.train_from_iterator([*sources, *targets], trainer)
        self.pairs = list(zip(self._ids(sources), self._ids(targets), strict=True))
        self.test = self._ids(read_lines(data, f"{args.split}.en"))
        self.references = read_lines(data, f"{args.split}.de")
        shape = Shape(
            name="race",
            d_model=128,
            num_layers=4,
            d_ff=256,
            num_heads=4,
            vocab_size=self.tokenizer.get_vocab_size(),
            dropout=0.3,
        )
        self.marian = Marian(shape, EOS, PAD, args)

    def _ids(self, lines: list[str]) -> list[list[int]]:
        encoded = self.tokenizer.encode_batch(lines)
        return [[*one.ids[: MAX_LENGTH - 1], EOS] for one in encoded]

    def bleu(self) -> float:
        """Plain sacreBLEU of the split, beam 5, on lower-cased raw text."""
        import sacrebleu

        outputs = self.marian.translate(self.test, beam=BEAM, max_length=MAX_LENGTH)
        decoded = self.tokenizer.decode_batch(outputs, skip_special_tokens=True)
        texts = [text.strip() for text in decoded]
        return float(sacrebleu.corpus_bleu(texts, [self.references]).score)


def run(race: Race, minutes: list[float]) -> list[dict[str, float]]:
    """Train for the longest of the times and score at each; scoring does not count as time."""
    found: list[dict[str, float]] = []
    tokens, steps, loss = 0, 0, 0.0
    stepping = race.marian.steps(race.pairs)
    trained, started = 0.0, time.perf_counter()
    for limit in sorted(minutes):
        while trained < limit * 60:
            step_tokens, loss = next(stepping)
            tokens += step_tokens
            steps += 1
            now = time.perf_counter()
            trained, started = trained + now - started, now
        bleu = race.bleu()
        found.append(
            {
                "minutes": limit,
                "bleu": bleu,
                "steps": steps,
                "loss": loss,
                "tokens_per_second": tokens / trained,
                "scoring_seconds": time.perf_counter() - started,
            }
        )
        print(found[-1], file=sys.stderr, flush=True)
        started = time.perf_counter()
    return found


def main() -> None:
    """Train, score, print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("test", "valid"), default="test", help="what is scored")
    parser.add_argument("--minutes", nargs="+", type=float, default=[5, 10, 20])
    parser.add_argument("--vocab-size", type=int, default=10_000)
    add_options(parser)
    args = parser.parse_args()
    race = Race(args.data, args)
    scores = run(race, args.minutes)
    settings = {name: value for name, value in vars(args).items() if name != "data"}
    marian = race.marian
    facts = {"parameters": count_parameters(marian.model), "precision": marian.precision}
    print(json.dumps({"settings": settings, **facts, "scores": scores}))


if __name__ == "__main__":
    main()
