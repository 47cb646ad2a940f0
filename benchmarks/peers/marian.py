"""Hugging Face MarianMT and a training loop of an expert's settings, on token ids.

Eager attention, fused Adam, the faster of bf16 autocast and fp32, length-bucketed batches, inverse
square root schedule, tied embeddings.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers.huggingface import IGNORED, marian
from benchmarks.peers.training import autocast
from benchmarks.workload import Pair, Shape, padded

LABEL_SMOOTHING = 0.1
BETAS = (0.9, 0.98)
SCORING_BATCH = 100
TRIED_STEPS = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """What an expert turns: precision, batch, rate, warm-up, seed, threads."""
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=2e-3, help="peak")
    parser.add_argument("--warmup", type=int, default=600, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())


class Marian:
    """Model and optimiser; `steps` trains until told to stop."""

    def __init__(self, shape: Shape, end: int, pad: int, args: argparse.Namespace) -> None:
        torch.set_num_threads(args.threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(args.seed)
        self.pad = pad
        self.model: Any = marian(shape, attention="eager", end=end, pad=pad)
        self.precision = args.precision
        self.batch_tokens = args.batch_tokens
        self.rng = random.Random(args.seed)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=args.lr, betas=BETAS, eps=1e-9, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: min((step + 1) / args.warmup, (args.warmup / (step + 1)) ** 0.5),
        )

    def batches(self, pairs: Sequence[Pair]) -> list[list[Pair]]:
        """Batches of about equal lengths (ties in random order)."""
        ordered = sorted(pairs, key=lambda pair: (len(pair[1]), len(pair[0]), self.rng.random()))
        found: list[list[Pair]] = [[]]
        for pair in ordered:
            if found[-1] and (len(found[-1]) + 1) * len(pair[1]) > self.batch_tokens:
                found.append([])
            found[-1].append(pair)
        return found

    def steps(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, float]]:
        """Train for ever, batches in random order; each step's target tokens and loss.

        The call itself chooses the precision, so that this is no part of the training's time.
        """
        if self.precision == "auto":
            self.precision = self._faster_precision(self.batches(pairs))
        return self._forever(pairs)

    def _forever(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, float]]:
        while True:
            batches = self.batches(pairs)
            self.rng.shuffle(batches)
            for batch in batches:
                self.model.train()
                loss = self._loss(batch, LABEL_SMOOTHING)
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad(set_to_none=True)
                yield sum(len(target) for _, target in batch), float(loss.item())

    @torch.inference_mode()
    def nll(self, pairs: Sequence[Pair]) -> float:
        """Nats per target token, ends included."""
        self.model.eval()
        total = 0.0
        for batch in self.batches(pairs):
            total += float(self._loss(batch, 0.0)) * sum(len(target) for _, target in batch)
        return total / sum(len(target) for _, target in pairs)

    def _faster_precision(self, batches: list[list[Pair]]) -> str:
        """What an expert tries first: which one takes the same steps in less time here."""
        self.model.train()
        tried = batches[:: max(1, len(batches) // TRIED_STEPS)]
        seconds = {}
        for name in ("fp32", "bf16", "fp32", "bf16"):  # the first round is there to warm up
            self.precision, started = name, time.perf_counter()
            for batch in tried:
                self._loss(batch, LABEL_SMOOTHING).backward()
                self.optimizer.zero_grad(set_to_none=True)
            seconds[name] = time.perf_counter() - started
        return min(seconds, key=lambda name: seconds[name])

    def _loss(self, batch: list[Pair], smoothing: float) -> torch.Tensor:
        source = torch.tensor(padded([source for source, _ in batch], padding=self.pad))
        labels = torch.tensor(padded([target for _, target in batch], padding=IGNORED))
        shifted = [[self.pad, *target[:-1]] for _, target in batch]
        with autocast(self.precision):
            logits = self.model(
                input_ids=source,
                attention_mask=(source != self.pad).long(),
                decoder_input_ids=torch.tensor(padded(shifted, padding=self.pad)),
                use_cache=False,
            ).logits
            return cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)

    @torch.inference_mode()
    def translate(
        self, sources: Sequence[list[int]], *, beam: int, max_length: int
    ) -> list[list[int]]:
        """Output ids of each source, in order; special ids may be among them."""
        self.model.eval()
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        found: list[list[int]] = [[] for _ in sources]
        for start in range(0, len(order), SCORING_BATCH):
            indices = order[start : start + SCORING_BATCH]
            source = torch.tensor(padded([sources[i] for i in indices], padding=self.pad))
            output = self.model.generate(
                input_ids=source,
                attention_mask=(source != self.pad).long(),
                num_beams=beam,
                do_sample=False,
                max_new_tokens=max_length,
            )
            for i, ids in zip(indices, output.tolist(), strict=True):
                found[i] = ids
        return found
