"""Hugging Face MarianMT trained on Multi30k with an expert's settings, and scored on the way.

Tiny size (4+4 layers, d 128, feed-forward 256, 4 heads, tied embeddings), joint BPE of 10,000;
eager attention, fused Adam, the faster of bf16 autocast and fp32, length-bucketed batches, inverse
square root schedule. The clock stands still while it is scored.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers.training import autocast, count_parameters
from benchmarks.workload import padded

SPECIAL_SYMBOLS = ["</s>", "<unk>", "<pad>"]
EOS, UNK, PAD = range(3)
IGNORED = -100
DROPOUT, LABEL_SMOOTHING = 0.3, 0.1
BETAS = (0.9, 0.98)
SCORING_BATCH, BEAM, MAX_LENGTH = 100, 5, 80


def read_lines(folder: Path, name: str) -> list[str]:
    """Lower-cased lines of a file, packed or not."""
    packed = folder / f"{name}.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return text.decode().lower().splitlines()


class Race:
    """Model, data and optimiser; `steps` trains until told to stop, `bleu` scores."""

    def __init__(self, data: Path, args: argparse.Namespace) -> None:
        import transformers
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

        config = transformers.MarianConfig(
            vocab_size=self.tokenizer.get_vocab_size(),
            d_model=128,
            encoder_layers=4,
            decoder_layers=4,
            encoder_ffn_dim=256,
            decoder_ffn_dim=256,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            dropout=DROPOUT,
            activation_function="relu",
            scale_embedding=True,
            max_position_embeddings=256,
            eos_token_id=EOS,
            forced_eos_token_id=None,
            pad_token_id=PAD,
            decoder_start_token_id=PAD,
            attn_implementation="eager",
        )
        self.model = transformers.MarianMTModel(config)
        self.precision = args.precision if args.precision != "auto" else faster_precision()
        self.batch_tokens = args.batch_tokens
        self.rng = random.Random(args.seed)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=args.lr, betas=BETAS, eps=1e-9, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: min((step + 1) / args.warmup, (args.warmup / (step + 1)) ** 0.5),
        )

    def _ids(self, lines: list[str]) -> list[list[int]]:
        encoded = self.tokenizer.encode_batch(lines)
        return [[*one.ids[: MAX_LENGTH - 1], EOS] for one in encoded]

    def epoch(self) -> list[list[tuple[list[int], list[int]]]]:
        """Batches of about equal lengths (ties in random order), themselves in random order."""
        pairs = sorted(self.pairs, key=lambda pair: (len(pair[1]), len(pair[0]), self.rng.random()))
        batches: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in pairs:
            if (len(batches[-1]) + 1) * len(pair[1]) > self.batch_tokens:
                batches.append([])
            batches[-1].append(pair)
        self.rng.shuffle(batches)
        return batches

    def steps(self) -> Iterator[tuple[int, float]]:
        """Train for ever; yields every step's target tokens and loss (nats per token, smoothed)."""
        while True:
            for batch in self.epoch():
                self.model.train()
                loss = self._step(batch)
                yield sum(len(target) for _, target in batch), loss

    def _step(self, batch: list[tuple[list[int], list[int]]]) -> float:
        source = torch.tensor(padded([source for source, _ in batch], padding=PAD))
        labels = torch.tensor(padded([target for _, target in batch], padding=IGNORED))
        shifted = [[PAD, *target[:-1]] for _, target in batch]
        with autocast(self.precision):
            logits = self.model(
                input_ids=source,
                attention_mask=(source != PAD).long(),
                decoder_input_ids=torch.tensor(padded(shifted, padding=PAD)),
                use_cache=False,
            ).logits
            loss = cross_entropy(
                logits.flatten(0, 1), labels.flatten(), label_smoothing=LABEL_SMOOTHING
            )
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.item())

    def bleu(self) -> float:
        """Plain sacreBLEU of the split, beam 5, on lower-cased raw text."""
        import sacrebleu

        self.model.eval()
        order = sorted(range(len(self.test)), key=lambda i: len(self.test[i]))
        texts = [""] * len(order)
        for start in range(0, len(order), SCORING_BATCH):
            indices = order[start : start + SCORING_BATCH]
            source = torch.tensor(padded([self.test[i] for i in indices], padding=PAD))
            with torch.inference_mode():
                output = self.model.generate(
                    input_ids=source,
                    attention_mask=(source != PAD).long(),
                    num_beams=BEAM,
                    do_sample=False,
                    max_new_tokens=MAX_LENGTH,
                )
            decoded = self.tokenizer.decode_batch(output.tolist(), skip_special_tokens=True)
            for i, text in zip(indices, decoded, strict=True):
                texts[i] = text.strip()
        return float(sacrebleu.corpus_bleu(texts, [self.references]).score)


def faster_precision() -> str:
    """What an expert tries first: whether bf16 products are faster than fp32 ones here."""
    seconds = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.ones(1024, 512, dtype=dtype)
        b = torch.ones(512, 512, dtype=dtype)
        times = []
        for _ in range(10):
            started = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - started)
        seconds[name] = min(times)
    return min(seconds, key=lambda name: seconds[name])


def run(race: Race, minutes: list[float]) -> list[dict[str, float]]:
    """Train for the longest of the times and score at each; scoring does not count as time."""
    found: list[dict[str, float]] = []
    tokens, steps, loss = 0, 0, 0.0
    trained, started = 0.0, time.perf_counter()
    stepping = race.steps()
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
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--vocab-size", type=int, default=10_000)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--lr", type=float, default=5e-3, help="peak")
    parser.add_argument("--warmup", type=int, default=2000, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    race = Race(args.data, args)
    scores = run(race, args.minutes)
    settings = {name: value for name, value in vars(args).items() if name != "data"}
    facts = {"parameters": count_parameters(race.model), "precision": race.precision}
    print(json.dumps({"settings": settings, **facts, "scores": scores}))


if __name__ == "__main__":
    main()
