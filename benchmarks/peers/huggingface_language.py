"""Hugging Face's GPT2LMHeadModel and BertForMaskedLM in a plain loop, and `generate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers.language import WRITTEN, Shape, chosen_of, main, rows_of
from benchmarks.peers.training import autocast

IGNORED = -100
MASK = 3


def build(shape: Shape) -> Any:
    """The model of a shape, without dropout, SDPA attention."""
    import transformers

    if shape.kind == "bert":
        config = transformers.BertConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
            max_position_embeddings=shape.context,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="sdpa",
        )
        return transformers.BertForMaskedLM(config)
    config = transformers.GPT2Config(
        vocab_size=shape.vocab_size,
        n_positions=shape.context,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        attn_implementation="sdpa",
    )
    return transformers.GPT2LMHeadModel(config)


def trainer(shape: Shape, precision: str) -> Callable[[int], float]:
    """The model's own loss, AdamW, gradients clipped."""
    model = build(shape).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)

    def step(index: int) -> float:
        rows = torch.tensor(rows_of(shape, rows=shape.rows, length=shape.context, seed=index))
        inputs, labels = rows, rows
        if shape.kind == "bert":
            chosen = torch.tensor(chosen_of(shape, seed=index))
            inputs, labels = rows.masked_fill(chosen, MASK), rows.masked_fill(~chosen, IGNORED)
        with autocast(precision):
            loss = model(input_ids=inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.item())

    return step


def writer(shape: Shape, precision: str, threads: int) -> Callable[[list[list[int]]], list[int]]:
    """`generate`, greedy, fp32 or bf16 weights."""
    model = build(shape).eval()
    if precision == "bf16":
        model = model.to(torch.bfloat16)

    def write(prompts: list[list[int]]) -> list[int]:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=WRITTEN,
                max_new_tokens=WRITTEN,
            )
        return [len(row) - len(prompt) for row, prompt in zip(output, prompts, strict=True)]

    return write


if __name__ == "__main__":
    main(trainer, writer)
