"""The attention of one translation, heard at the taps while the model reads it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from polyhead.attention.tap import listen
from polyhead.data.batching import device_of, on_device
from polyhead.data.examples import PairExamples, Ragged
from polyhead.data.tokenizers import END_ID, Tokenizer
from polyhead.errors import UsageError
from polyhead.inspection.maps import SUM_TOLERANCE, AttentionMaps, Weights


@torch.inference_mode()
def translation_attention(
    model: nn.Module,
    source: Tokenizer,
    target: Tokenizer,
    source_ids: list[int],
    target_ids: list[int],
    *,
    title: str,
) -> AttentionMaps:
    """Every layer and head while `source_ids` is translated as `target_ids` (no end tokens).

    Row i of the decoder's attention is the step that writes target token i.
    """
    examples = PairExamples(
        Ragged([[*source_ids, END_ID]]),
        Ragged([[*target_ids, END_ID]]),
        source.pad_id,
        target.pad_id,
    )
    batch = on_device(examples.batch(np.array([0])), device_of(model))
    with listen() as heard:
        model(batch.source, batch.source_positions, batch.inputs, batch.positions)
    kinds = {
        "encoder": [w for name, w in heard.items() if name.startswith("encoder.")],
        "decoder": [w for name, w in heard.items() if name.endswith(".self")],
        "cross": [w for name, w in heard.items() if name.endswith(".cross")],
    }
    maps = {kind: stack(calls) for kind, calls in kinds.items() if calls}
    if not maps:
        raise UsageError("this model has no attention to look at")
    note = "weights recomputed by the plain definition of attention"
    if "cross" in maps and (maps["cross"].sum(axis=-1) < 1 - SUM_TOLERANCE).any():
        maps["cross"] = _normalised(maps["cross"])
        note += "; rows that a Gaussian made smaller are scaled to sum to 1"
    written = target.labels([*target_ids, END_ID])
    return AttentionMaps(
        source_tokens=source.labels([*source_ids, END_ID]),
        target_tokens=written,
        read_tokens=["<start>", *written[:-1]],
        attention=maps,
        title=title,
        note=note,
    )


def one_map(calls: list[Tensor]) -> Tensor:
    """The weights [B,H,Q,K] of one layer, heard in one call or a few queries at a time."""
    return calls[0] if len(calls) == 1 else torch.cat(calls, dim=2)


def stack(layers: list[list[Tensor]]) -> Weights:
    """One example's layers, each [1,H,Q,K], as [L,H,Q,K]."""
    return np.stack([one_map(calls)[0].float().numpy() for calls in layers])


def _normalised(weights: Weights) -> Weights:
    sums = weights.sum(axis=-1, keepdims=True)
    return (weights / np.where(sums > 0, sums, 1)).astype(np.float32)
