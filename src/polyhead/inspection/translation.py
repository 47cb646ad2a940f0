"""The attention of one translation, heard at the taps while the model reads it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from polyhead.attention.tap import listen
from polyhead.data.examples import PairExamples, Ragged
from polyhead.data.tokenizers import END_ID, Tokenizer
from polyhead.inspection.maps import AttentionMaps


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
    batch = examples.batch(np.array([0]))
    with listen() as heard:
        model(batch.source, batch.source_positions, batch.inputs, batch.positions)
    kinds = {
        "encoder": [w for name, w in heard.items() if name.startswith("encoder.")],
        "decoder": [w for name, w in heard.items() if name.endswith(".self")],
        "cross": [w for name, w in heard.items() if name.endswith(".cross")],
    }
    written = target.labels([*target_ids, END_ID])
    return AttentionMaps(
        source_tokens=source.labels([*source_ids, END_ID]),
        target_tokens=written,
        read_tokens=["<start>", *written[:-1]],
        attention={kind: _stack(calls) for kind, calls in kinds.items() if calls},
        title=title,
        note="weights recomputed by the plain definition of attention",
    )


def _stack(calls: list[list[Tensor]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """One call per layer, each [1,H,Q,K], as [L,H,Q,K]."""
    return np.stack([call[0][0].float().numpy() for call in calls])
