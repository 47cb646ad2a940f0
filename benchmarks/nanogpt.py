"""Tiny Shakespeare: the time nanoGPT's CPU configuration takes, given to Polyhead on this machine.

    POLYHEAD_DATA=… python -m benchmarks.nanogpt                    # the whole race
    POLYHEAD_DATA=… python -m benchmarks.nanogpt --iterations 200   # a tenth of it, to try it out

nanoGPT is re-created here in plain torch after its README's "I only have a macbook": 4 blocks of
width 128, no biases, no dropout, context 64, 12 random blocks a step, 2,000 steps of AdamW (betas
0.9 and 0.99, weight decay 0.1, clip 1) at 1e-3, cosine to 1e-4 after 100 steps of warm-up, fp32,
`compile=False`, as there. Then `tiny-shakespeare-char-fast` trains for as many seconds of the
clock. Both are scored alike: every character of valid once, by windows of 64 characters that move
on by 32, plain NLL in nats. nanoGPT's README says 1.88, which is over random blocks.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.common import write_here
from polyhead import api
from polyhead.tasks.language_modeling import windows_of

CONTEXT, ROWS, WIDTH, HEADS, BLOCKS = 64, 12, 128, 4, 4
RATE, LEAST_RATE, WARMUP = 1e-3, 1e-4, 100


class Block(nn.Module):
    """A block as nanoGPT's model.py has it, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.c_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.c_out = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        q, k, v = (
            part.view(rows, length, HEADS, width // HEADS).transpose(1, 2)
            for part in self.c_attn(self.ln_1(x)).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(rows, length, width))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))


class NanoGPT(nn.Module):
    """nanoGPT: tied embeddings, N(0, 0.02), residual projections smaller by sqrt(2 layers)."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.ln_f = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                last = name.endswith(("c_proj.weight", "c_out.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * BLOCKS) if last else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


def train_nanogpt(train: Tensor, vocabulary: int, iterations: int) -> tuple[NanoGPT, float]:
    """The trained model and the seconds that it took."""
    torch.manual_seed(1337)
    model = NanoGPT(vocabulary)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
    begin = time.perf_counter()
    for step in range(iterations):
        done = max(0.0, (step - WARMUP) / max(1, iterations - WARMUP))
        cosine = LEAST_RATE + 0.5 * (1 + math.cos(math.pi * done)) * (RATE - LEAST_RATE)
        for group in adam.param_groups:
            group["lr"] = cosine if step >= WARMUP else RATE * (step + 1) / (WARMUP + 1)
        offsets = torch.randint(len(train) - CONTEXT, (ROWS,))
        both = torch.stack([train[o : o + CONTEXT + 1] for o in offsets.tolist()])
        logits = model(both[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), both[:, 1:].flatten())
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    return model.eval(), time.perf_counter() - begin


@torch.inference_mode()
def nll_of(model: NanoGPT, corpus: Any, stride: int) -> float:
    """Nats per token of a whole stream, by the windows that Polyhead's evaluation uses."""
    total = 0.0
    for offsets, counted in windows_of(corpus, stride):
        batch = corpus.windows(offsets, corpus.length)
        log_p = torch.log_softmax(model(batch.inputs), dim=-1)
        picked = log_p.gather(2, batch.labels[:, :, None])[:, :, 0]
        new = torch.arange(corpus.length) >= corpus.length - torch.from_numpy(counted)[:, None]
        total -= float(picked[new].double().sum())
    return total / corpus.predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="polyhead-nanogpt-") as folder:
        one_step = ["training.max_steps=1", "training.validate_every=1"]
        first = api.train("tiny-shakespeare-char-fast", f"{folder}/first", one_step)
        task = api.load(first.path).task  # for its tokens, which nanoGPT gets, too
        read = task.read_training(first.recipe, lambda _: None)
        train = torch.from_numpy(task.encode(read).ids.astype("int64"))
        valid = task.read("valid", lambda _: None)
        torch.set_num_threads(options.threads)
        theirs, seconds = train_nanogpt(train, task.tokenizer.size, options.iterations)
        limits = [f"training.max_minutes={seconds / 60}", "training.max_steps=null"]
        limits += ["training.validate_every=1000000", f"training.threads={options.threads}"]
        run = api.train("tiny-shakespeare-char-fast", f"{folder}/ours", limits)
        scored = api.load(run.path).evaluate("valid", stride=32)
        torch.set_num_threads(options.threads)
        result = {
            "seconds": round(seconds, 1),
            "threads": options.threads,
            "nanogpt": {"nll": nll_of(theirs, valid, 32), "steps": options.iterations},
            "polyhead": {"nll": scored["metrics"]["nll"], "steps": run.info["step"]},
        }
    print(json.dumps(result, indent=2))
    if options.json:
        write_here(options.json, result)


if __name__ == "__main__":
    main()
