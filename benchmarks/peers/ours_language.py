"""Polyhead's GPT and BERT: the training step of `polyhead train`, the writing of `generate`."""

from __future__ import annotations

from polyhead import machine

machine.prepare()

from collections.abc import Callable  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from benchmarks.peers.language import WRITTEN, Shape, chosen_of, main, rows_of  # noqa: E402
from polyhead.attention.evaluations import use_explicit_below  # noqa: E402
from polyhead.config import OptimizerConfig  # noqa: E402
from polyhead.decoding.generate import Settings, generate_ids  # noqa: E402
from polyhead.layers.loss import cross_entropy  # noqa: E402
from polyhead.layers.packed import pack  # noqa: E402
from polyhead.models import bert, gpt  # noqa: E402
from polyhead.training.optimiser import Optimiser  # noqa: E402


def build(shape: Shape) -> Any:
    """The model of a shape, without dropout."""
    size: dict[str, Any] = {
        "d_model": shape.width,
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "d_ff": 4 * shape.width,
        "max_length": shape.context,
        "dropout": 0.0,
    }
    if shape.kind == "bert":
        return bert.build(bert.Config(**size), vocab_size=shape.vocab_size)
    return gpt.build(gpt.Config(**size), vocab_size=shape.vocab_size)


def trainer(shape: Shape, precision: str) -> Callable[[int], float]:
    """Forward, chunked loss (of masked places alone), backward, AdamW."""
    choices = machine.choose(precision)
    machine.apply(machine.Choices(**{**choices.as_dict(), "threads": torch.get_num_threads()}))  # type: ignore[arg-type]
    use_explicit_below(choices.explicit_attention_below)
    model = build(shape).to(torch.bfloat16 if precision == "bf16" else torch.float32).train()
    config = OptimizerConfig(kind="adamw", lr=1e-4, weight_decay=0.1)
    optimiser = Optimiser(model, config, clip=1.0)

    def step(index: int) -> float:
        length = shape.context + (shape.kind == "gpt")
        rows = torch.tensor(rows_of(shape, rows=shape.rows, length=length, seed=index))
        if shape.kind == "gpt":
            hidden = model(rows[:, :-1]).flatten(0, 1)
            labels = rows[:, 1:].flatten()
            loss, nll = cross_entropy(hidden, model.head.weight, labels, smoothing=0.0)
        else:
            chosen = torch.tensor(chosen_of(shape, seed=index))
            labels = rows[chosen]
            loss = nll = F.cross_entropy(model.head(model(rows)[chosen]), labels, reduction="sum")
        (loss / len(labels)).backward()
        optimiser.step(1e-4)
        optimiser.zero()
        return nll.item() / len(labels)

    return step


def writer(shape: Shape, precision: str, threads: int) -> Callable[[list[list[int]]], list[int]]:
    """What `polyhead generate --greedy --precision …` does, the end forbidden."""
    machine.apply(machine.choose("fp32", threads))
    model = build(shape).eval()
    if precision != "fp32":
        pack(model, precision)  # type: ignore[arg-type]
    tokenizer: Any = SimpleNamespace(end_id=0, never=[0], pad_id=1)
    settings = Settings(max_tokens=WRITTEN)

    def write(prompts: list[list[int]]) -> list[int]:
        return [len(f.tokens) for (f,) in generate_ids(model, prompts, tokenizer, settings)]

    return write


if __name__ == "__main__":
    main(trainer, writer)
