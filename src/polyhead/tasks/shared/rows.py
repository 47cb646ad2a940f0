"""Answers about whole rows: what classification, regression and multiple choice have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from polyhead.data.framing import Example
from polyhead.data.labelled import Labelled, LabelledTable
from polyhead.tasks.shared.objective import Answers, Frame, fields


def one_row(one: Labelled, frame: Frame, target: float) -> tuple[list[Example], int]:
    """A text, or a pair, as one row; of a symmetric pair both orders, as two rows."""
    parts = [frame.tokenizer.encode(text) for text in one.texts]
    orders = [parts, parts[::-1]] if frame.data.symmetric and len(parts) == 2 else [parts]
    return framed(one, frame, orders, target)


def framed(
    one: Labelled, frame: Frame, several: list[list[list[int]]], target: float
) -> tuple[list[Example], int]:
    """An example of so many rows, and how many of them were cut."""
    rows = [frame.framer.row(parts) for parts in several]
    example = Example([(ids, texts) for ids, texts, _ in rows], target, one.place, one.target)
    return [example], sum(cut for _, _, cut in rows)


def text_or_pair(line: str, training: Sequence[LabelledTable]) -> tuple[str, ...]:
    """A text, or two with a tab between, as in training; either where that is not known.

    Raises UsageError for what is not so.
    """
    pairs = {table.pair_column is not None for table in training}
    if pairs == {True}:
        return fields(line, 2, 2, "a pair with a tab between, as in training,")
    if pairs == {False}:
        return fields(line, 1, 1, "a text, as in training,")
    return fields(line, 1, 2, "a text, or a pair with a tab between,")


def label_loss(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """(smoothed, plain) cross-entropy, summed: logits [N,labels], targets [N]."""
    nll = F.cross_entropy(logits, targets, reduction="sum")
    if not smoothing:
        return nll, nll
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing), nll


def named(logits: Answers, names: Sequence[str]) -> dict[str, Any]:
    """The likeliest of some names, its probability, and the probabilities of all."""
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()
    best = int(p.argmax())
    every = dict(zip(names, p.tolist(), strict=True))
    return {"label": names[best], "probability": float(p[best]), "probabilities": every}
