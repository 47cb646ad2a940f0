"""The attention of a model that reads one text: BERT's both ways, GPT's to what came before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from polyhead.attention.tap import listen
from polyhead.inspection.maps import AttentionMaps, Side
from polyhead.inspection.translation import stack

AXES: Mapping[str, tuple[Side, Side]] = {
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
}


@torch.inference_mode()
def text_attention(
    read: Callable[[], object], tokens: Sequence[str], *, title: str
) -> AttentionMaps:
    """Every layer and head while `read` lets the model read one row; `tokens` are its labels.

    Row i is where token i looks. An encoder's are the map's source tokens, a decoder's its target.
    """
    with listen() as heard:
        read()
    kind = next(iter(heard)).partition(".")[0]
    encoder = kind == "encoder"
    return AttentionMaps(
        source_tokens=list(tokens) if encoder else [],
        target_tokens=[] if encoder else list(tokens),
        attention={kind: stack(list(heard.values()))},
        title=title,
        note="weights recomputed by the plain definition of attention",
        axes=AXES,
    )
